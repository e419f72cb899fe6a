FROM scratch
RUN ["echo", "<<EOF"]
