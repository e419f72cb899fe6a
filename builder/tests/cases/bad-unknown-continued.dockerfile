FROM scratch
RNU a \
  b \
  c
