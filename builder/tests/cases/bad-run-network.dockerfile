FROM scratch
RUN --network=nope a
