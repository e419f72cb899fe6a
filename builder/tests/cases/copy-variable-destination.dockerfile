FROM scratch
COPY a b $DEST
