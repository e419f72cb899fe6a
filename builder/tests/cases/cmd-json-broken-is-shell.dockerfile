FROM scratch
CMD ["a", 'b']
CMD ["a"] b
CMD [ -f x ] && y
