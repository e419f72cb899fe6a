/*
 * Runs instruction sequences, each from a record that holds the registers and the memory it
 * starts with, and leaves in the record what the sequence left in them. Linked at the same address
 * for both sides: under Linux it is a process, with SUPERVISOR a kernel `Image` without paging.
 *
 * layout.rs restates the offsets; the variables follow this code on a page of their own, because
 * stores to a page of code are slow on both sides.
 */

#define VARIABLES 0x1000
#define V_RECORDS 0
#define V_RECORDS_END 8
#define V_PASSES 16
#define V_WINDOW 24
#define V_CURSOR 32

#define R_FLOAT 256
#define R_FCSR 512
#define R_BODY 0
#define R_WINDOW 520
#define WINDOW_BYTES 256
#define RECORD_BYTES 776

#define DBCN 0x4442434e
#define SRST 0x53525354
#define LINUX_WRITE 64
#define LINUX_EXIT_GROUP 94

    .macro each_register instruction, base
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
    \instruction x\n, \n * 8(\base)
    .endr
    .endm

    .macro each_float instruction, base
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    \instruction f\n, R_FLOAT + \n * 8(\base)
    .endr
    .endm

    .macro copy_window from, to, count, value
    li \count, WINDOW_BYTES / 8
1:  ld \value, 0(\from)
    sd \value, 0(\to)
    addi \from, \from, 8
    addi \to, \to, 8
    addi \count, \count, -1
    bnez \count, 1b
    .endm

    .option norvc
    .text
    .globl _start
_start:
    /* Header of a kernel `Image` (Linux Documentation/arch/riscv/boot-image-header.rst). */
    j start
    .word 0
    .dword 0x200000         /* text_offset */
    .dword 0                /* image_size: as long as the file */
    .org 56
    .ascii "RSC\x05"
    .word 0

    .org 64
    j save

start:
#ifdef SUPERVISOR
    lla t0, unexpected_trap
    csrw stvec, t0
    li t0, 3 << 13          /* sstatus.FS */
    csrs sstatus, t0
#endif
pass:
    lla t6, _start + VARIABLES
    ld t0, V_RECORDS(t6)
    sd t0, V_CURSOR(t6)
next:
    lla t6, _start + VARIABLES
    ld t5, V_CURSOR(t6)
    ld t4, V_RECORDS_END(t6)
    beq t5, t4, end_of_pass
    ld t4, V_WINDOW(t6)
    addi t3, t5, R_WINDOW
    copy_window t3, t4, t2, t1
    mv x31, t5
    ld t5, R_FCSR(x31)
    fscsr t5
    each_float fld, x31
    each_register ld, x31
    ld x30, R_BODY(x31)
    jr x30                  /* The sequence loads x30 and x31 itself. */

save:                       /* The sequence has put x31 behind the window. */
    lla x31, _start + VARIABLES
    ld x31, V_CURSOR(x31)
    each_register sd, x31
    sd x30, 30 * 8(x31)
    each_float fsd, x31
    frcsr t0
    sd t0, R_FCSR(x31)
    lla t0, _start + VARIABLES
    ld t1, V_WINDOW(t0)
    ld t2, WINDOW_BYTES(t1)
    sd t2, 31 * 8(x31)
    addi t2, x31, R_WINDOW
    copy_window t1, t2, t3, t4
    addi x31, x31, RECORD_BYTES
    sd x31, V_CURSOR(t0)
    j next

end_of_pass:
    ld t0, V_PASSES(t6)
    addi t0, t0, -1
    sd t0, V_PASSES(t6)
    bnez t0, pass
    ld s0, V_RECORDS(t6)
    ld s1, V_RECORDS_END(t6)
    jal output
#ifdef SUPERVISOR
    li a1, 0
    j shut_down
#else
    li a0, 0
    li a7, LINUX_EXIT_GROUP
    ecall
#endif

output:                     /* s0 up to s1 */
#ifdef SUPERVISOR
    sub a0, s1, s0
    mv a1, s0
    li a2, 0
    li a6, 0
    li a7, DBCN
    ecall
    add s0, s0, a1
#else
    li a0, 1
    mv a1, s0
    sub a2, s1, s0
    li a7, LINUX_WRITE
    ecall
    add s0, s0, a0
#endif
    bne s0, s1, output
    ret

#ifdef SUPERVISOR
    .balign 4
unexpected_trap:            /* Prints scause, sepc and stval, and reports a failure. */
    lla s0, _start + VARIABLES
    csrr t0, scause
    sd t0, 0(s0)
    csrr t0, sepc
    sd t0, 8(s0)
    csrr t0, stval
    sd t0, 16(s0)
    addi s1, s0, 24
    jal output
    li a1, 1
shut_down:                  /* a1: the reason, 0 or 1 */
    li a0, 0
    li a6, 0
    li a7, SRST
    ecall
#endif
