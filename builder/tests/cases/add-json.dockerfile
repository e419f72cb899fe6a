FROM scratch
ADD ["a b", "c d/"]
