FROM scratch
CMD []
ENTRYPOINT []
