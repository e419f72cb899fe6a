ARG A
ARG B= C="x y" D='z' E
FROM scratch
