FROM scratch
CMD cat <<EOF
ENV A=1
