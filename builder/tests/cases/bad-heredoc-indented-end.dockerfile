FROM scratch
RUN <<EOF
a
  EOF
