FROM scratch
VOLUME /a $B /c
VOLUME ["/d e", "/f"]
