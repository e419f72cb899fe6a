FROM scratch
RUN echo "a\"b" 'c' \$d `e`
