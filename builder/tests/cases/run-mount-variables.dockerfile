FROM scratch
RUN --mount=type=$T,target=${D:-/x} --mount=type=cache,target=/c,id=$I a
