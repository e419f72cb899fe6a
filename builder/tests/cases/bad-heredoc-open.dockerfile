FROM scratch
RUN <<EOF
a
b
