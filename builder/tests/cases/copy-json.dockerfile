FROM scratch
COPY ["a", "b", "c/"]
COPY --from=x ["a b", "/"]
