FROM scratch
CMD --x a
