FROM scratch
EXPOSE --udp 80
