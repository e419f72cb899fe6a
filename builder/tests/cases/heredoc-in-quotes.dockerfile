FROM scratch
RUN echo "<<EOF" '<<X'
ENV A=1
