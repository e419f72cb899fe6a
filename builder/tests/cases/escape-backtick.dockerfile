# escape=`
FROM scratch
RUN dir `
  C:\
COPY a\ c:\
ENV A=b` c
