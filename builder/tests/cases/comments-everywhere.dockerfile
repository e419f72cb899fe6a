# top

  # indented
FROM scratch
