FROM scratch
COPY --link -- --weird /x
