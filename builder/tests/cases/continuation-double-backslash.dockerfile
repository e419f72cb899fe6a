FROM scratch
RUN a \\
ENV A=1
