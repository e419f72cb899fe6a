FROM scratch
RUN --security=sandbx a
