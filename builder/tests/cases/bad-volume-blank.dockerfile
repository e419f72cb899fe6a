FROM scratch
VOLUME ["/a", ""]
