FROM scratch

COPPY a /
ENV A=1
