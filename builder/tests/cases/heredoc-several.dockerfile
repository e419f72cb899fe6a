FROM scratch
RUN cat <<A 3<<B <<-C
1
A
2
B
	3
	C
ENV X=1
