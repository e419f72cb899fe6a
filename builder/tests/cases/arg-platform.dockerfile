ARG V=1
FROM --platform=$BUILDPLATFORM base:${V} AS build
