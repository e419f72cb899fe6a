FROM scratch
COPY --link=yes a /
