FROM scratch AS a
FROM scratch
COPY --from=a --chown=app:app --chmod=u+x --link=false --parents=true a b/ c/
