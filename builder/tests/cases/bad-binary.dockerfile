FROM scratch
ENV A=ÿþ
