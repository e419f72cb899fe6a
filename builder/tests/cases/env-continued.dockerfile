FROM scratch
ENV A=1 \
    B=2 \
    # note
    C="3 \
4"
