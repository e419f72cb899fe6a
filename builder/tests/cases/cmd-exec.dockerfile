FROM scratch
CMD ["a","b c","\u00e9\/"]
