FROM scratch
ONBUILD RUN <<EOF
echo a
EOF
ONBUILD COPY <<X /x
c
X
