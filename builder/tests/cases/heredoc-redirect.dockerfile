FROM scratch
RUN cat <<EOF > /x && echo done
a
b
EOF
