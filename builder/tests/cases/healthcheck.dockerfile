FROM scratch
HEALTHCHECK NONE
HEALTHCHECK --interval=1m30s --timeout=1s --start-period=500ms --start-interval=2s --retries=3 CMD ["a", "b"]
HEALTHCHECK cmd curl -f x || exit 1
