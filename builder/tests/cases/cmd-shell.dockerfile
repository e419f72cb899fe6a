FROM scratch
CMD echo "a  b"  'c' $D
