FROM --platform=linux/riscv64 debian:trixie-slim AS Build_1.x-y
