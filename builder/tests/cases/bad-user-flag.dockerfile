FROM scratch
USER --x a
