FROM scratch
COPY <<EOF /a
x $Y
EOF
COPY <<-"A" <<B c /d/
	one
	A
two
B
