FROM scratch
RUN <<EOF
set -e
# not a comment here
echo a \
  b

EOF
RUN <<-'E 2' python3
	print("$X")
	E 2
