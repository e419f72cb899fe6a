FROM scratch
ADD --chown=1:2 --chmod=0644 --link --checksum=sha256:aa --keep-git-dir=true --unpack=false --exclude=*.o --exclude=a/** a b /c/
