FROM scratch
COPY <<A <<B /
a
A
b
