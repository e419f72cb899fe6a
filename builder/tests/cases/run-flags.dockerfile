FROM scratch
RUN --network=host --security=insecure --device=vendor.com/class=x,required a
