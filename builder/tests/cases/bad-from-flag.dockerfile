FROM --platfrm=linux/riscv64 scratch
