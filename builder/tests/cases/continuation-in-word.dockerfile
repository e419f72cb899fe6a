FROM scr\
atch
ENV AB\
C=1
