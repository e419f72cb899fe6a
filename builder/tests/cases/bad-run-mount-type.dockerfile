FROM scratch
RUN --mount=type=chache,target=/x a
