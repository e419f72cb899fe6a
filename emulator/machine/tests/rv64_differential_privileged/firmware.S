/*
 * Machine mode for QEMU's `virt` board: as much of a firmware as the programs under test call.
 * Delegates everything to supervisor mode, enters it at PROGRAM, and serves the debug console and
 * system reset.
 */

#define PROGRAM 0x80200000
#define UART 0x10000000
#define LINE_STATUS 5
#define TRANSMITTER_EMPTY 0x20
#define TEST_DEVICE 0x100000
#define TEST_PASS 0x5555
#define DBCN 0x4442434e
#define PMP_TOR_RWX 0x0f
#define MENVCFG 0x30a

    .option norvc
    .globl _start
_start:
    lla t0, trap
    csrw mtvec, t0
    li t0, -1
    csrw pmpaddr0, t0
    li t0, PMP_TOR_RWX
    csrw pmpcfg0, t0
    li t0, 0xb1ff           /* All exceptions but ecall from supervisor mode. */
    csrw medeleg, t0
    li t0, 0x222
    csrw mideleg, t0
    li t0, 7
    csrw mcounteren, t0
    li t0, 1 << 63          /* STCE: stimecmp */
    csrw MENVCFG, t0
    li t0, 1 << 11          /* MPP: supervisor */
    csrw mstatus, t0
    lla t0, stack
    csrw mscratch, t0
    li t0, PROGRAM
    csrw mepc, t0
    mret

    .balign 4
trap:
    csrrw sp, mscratch, sp
    sd t0, 0(sp)
    sd t1, 8(sp)
    sd t2, 16(sp)
    csrr t0, mepc
    addi t0, t0, 4
    csrw mepc, t0
    li t0, DBCN
    bne a7, t0, shut_down
    add t2, a1, a0
1:  li t0, UART
2:  lbu t1, LINE_STATUS(t0)
    andi t1, t1, TRANSMITTER_EMPTY
    beqz t1, 2b
    lbu t1, 0(a1)
    sb t1, 0(t0)
    addi a1, a1, 1
    bltu a1, t2, 1b
    mv a1, a0
    li a0, 0
    ld t0, 0(sp)
    ld t1, 8(sp)
    ld t2, 16(sp)
    csrrw sp, mscratch, sp
    mret

shut_down:
    li t0, TEST_DEVICE
    li t1, TEST_PASS
    sw t1, 0(t0)
    j .

    .balign 8
stack:
    .zero 32
