FROM scratch
EXPOSE 80 443/tcp 100-200/udp $P
