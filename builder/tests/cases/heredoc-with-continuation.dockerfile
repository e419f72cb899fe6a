FROM scratch
RUN --network=none \
  cat <<EOF
x
EOF
