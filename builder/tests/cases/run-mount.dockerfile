FROM scratch
RUN --mount=type=cache,target=/c,id=i,sharing=locked,uid=1,gid=2,mode=0700 --mount=type=secret,id=s,required=true,env=S --mount=type=bind,from=a,source=/s,target=/t,rw --mount=type=tmpfs,target=/t,size=1g --mount=type=ssh,id=k a
