FROM scratch
COPY <<EOF /empty
EOF
