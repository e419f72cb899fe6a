FROM scratch
ENTRYPOINT ["/a", "b"]
ENTRYPOINT exec a
