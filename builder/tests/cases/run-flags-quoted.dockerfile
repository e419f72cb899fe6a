FROM scratch
RUN --mount="type=bind,target=/a b" --mount=type=tmpfs,target='/c d' x
