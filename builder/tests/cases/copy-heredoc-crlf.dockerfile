FROM scratch
COPY <<EOF /a
x
EOF
ENV A=1
