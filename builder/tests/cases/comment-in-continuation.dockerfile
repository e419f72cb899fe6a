FROM scratch
RUN a \
# one
  # two \
  b \
  c # not a comment
