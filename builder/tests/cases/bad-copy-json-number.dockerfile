FROM scratch
COPY ["a", 2]
