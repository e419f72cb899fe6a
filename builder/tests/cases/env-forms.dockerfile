FROM scratch
ENV A=1 B="2 3" C='4 5' D=6\ 7 E= F=""
ENV G h i  j
ENV K=${A:-xy}
