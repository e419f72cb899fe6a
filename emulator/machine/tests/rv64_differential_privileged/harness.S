/*
 * Runs cases: each sets memory, CSRs and registers from its record, goes to an entry point in
 * supervisor or user mode by `sret`, and ends at the next trap, whose circumstances become the
 * result. Paging is on throughout; this code is mapped where it is.
 *
 * cases.rs restates the offsets. A word at the end of each snippet that is reached without a trap
 * is an `ebreak`.
 */

#define VARIABLES 0x2000
#define V_CASES 0
#define V_CASES_END 8
#define V_RESULTS 16
#define V_SATP 24

#define C_WRITES 0          /* four pairs of address and value */
#define C_SSTATUS 64
#define C_ENTRY 72
#define C_ARGUMENTS 80      /* a0 to a3 */
#define C_FENCE 112         /* page to flush, or 0 for all */
#define CASE_BYTES 120

#define R_SCAUSE 0
#define R_STVAL 8
#define R_SEPC 16
#define R_SSTATUS 24
#define R_ARGUMENTS 32
#define R_READ_BACK 64
#define RESULT_BYTES 96

#define SSTATUS_SIE 2
#define STIMECMP 0x14d
#define DBCN 0x4442434e
#define SRST 0x53525354

    .option norvc
    .text
    .globl _start
_start:
    j start
    .word 0
    .dword 0x200000
    .dword 0
    .org 56
    .ascii "RSC\x05"
    .word 0

start:
    lla t0, trap
    csrw stvec, t0
    lla s1, _start + VARIABLES
    ld s2, V_CASES(s1)
    ld s3, V_RESULTS(s1)
    ld t0, V_SATP(s1)
    csrw satp, t0
    sfence.vma
    li t0, 7                /* CY, TM, IR */
    csrw scounteren, t0

next:                       /* s1 variables, s2 case, s3 result */
    ld t0, V_CASES_END(s1)
    beq s2, t0, end
    .irp pair, 0, 16, 32, 48
    ld t0, C_WRITES + \pair(s2)
    ld t1, C_WRITES + \pair + 8(s2)
    sd t1, 0(t0)
    .endr
    fence.i
    ld t0, C_FENCE(s2)
    beqz t0, 1f
    sfence.vma t0
    j 2f
1:  sfence.vma
2:  csrw sie, zero
    csrw sip, zero
    li t0, -1
    csrw STIMECMP, t0
    csrw sscratch, s2
    ld t0, C_SSTATUS(s2)
    csrw sstatus, t0
    ld t0, C_ENTRY(s2)
    csrw sepc, t0
    ld a0, C_ARGUMENTS + 0(s2)
    ld a1, C_ARGUMENTS + 8(s2)
    ld a2, C_ARGUMENTS + 16(s2)
    ld a3, C_ARGUMENTS + 24(s2)
    sret

    .balign 4
trap:                       /* Snippets leave s1 and s3 alone. */
    csrr s2, sscratch
    csrr t0, scause
    sd t0, R_SCAUSE(s3)
    csrr t0, stval
    sd t0, R_STVAL(s3)
    csrr t0, sepc
    sd t0, R_SEPC(s3)
    csrr t0, sstatus
    sd t0, R_SSTATUS(s3)
    sd a0, R_ARGUMENTS + 0(s3)
    sd a1, R_ARGUMENTS + 8(s3)
    sd a2, R_ARGUMENTS + 16(s3)
    sd a3, R_ARGUMENTS + 24(s3)
    .irp n, 0, 1, 2, 3
    ld t0, C_WRITES + 16 * \n(s2)
    ld t0, 0(t0)
    sd t0, R_READ_BACK + 8 * \n(s3)
    .endr
    addi s2, s2, CASE_BYTES
    addi s3, s3, RESULT_BYTES
    j next

end:
    ld s0, V_RESULTS(s1)
1:  sub a0, s3, s0
    mv a1, s0
    li a2, 0
    li a6, 0
    li a7, DBCN
    ecall
    add s0, s0, a1
    bne s0, s3, 1b
    li a0, 0
    li a1, 0
    li a6, 0
    li a7, SRST
    ecall

/* What cases run: on a page of its own, 64 bytes each, in the order of `Snippet`. */
    .macro snippet
    .balign 64
    .endm

    .org 0x1000
    snippet                 /* Load */
    ld a1, 0(a0)
    ebreak
    snippet                 /* Store */
    sd a1, 0(a0)
    ebreak
    snippet                 /* Execute */
    jr a0
    snippet                 /* Amo */
    amoadd.d a1, a1, (a0)
    ebreak
    snippet                 /* LoadReserved */
    lr.d a1, (a0)
    ebreak
    snippet                 /* EnvironmentCall */
    ecall
    snippet                 /* SupervisorReturn */
    sret
    snippet                 /* FenceTranslation */
    sfence.vma
    ebreak
    snippet                 /* WaitForInterrupt */
    wfi
    ebreak
    snippet                 /* ReadSstatus */
    csrr a1, sstatus
    ebreak
    snippet                 /* WriteReadOnly: a counter */
    csrw time, a1
    ebreak
    snippet                 /* FloatMove */
    fmv.d.x f0, a1
    ebreak
    snippet                 /* Timer: a1 ticks from now, enabled by a2 in sie */
    csrr a0, time
    add a0, a0, a1
    csrw STIMECMP, a0
    li a0, 0
    csrw sie, a2            /* Taken here at the earliest: sepc is the same on a slow host. */
    j .
    snippet                 /* Pending: sets a1 in sip and a timer that is due, reads sip */
    csrw STIMECMP, zero
    csrs sip, a1
    csrr a3, sip
    csrw sie, a2
    csrsi sstatus, SSTATUS_SIE
    j .
    snippet                 /* Rewrite: runs a0, puts a1 at a2, runs a0 again */
    jalr a0
    sw a1, 0(a2)
    fence.i
    jalr a0
    ebreak
    snippet                 /* RewriteItself: the addi behind the fence becomes a1 */
    lla a2, 1f
    sw a1, 0(a2)
    fence.i
1:  addi a3, a3, 1
    ebreak
    snippet                 /* WriteCsrs: what stays of all ones in stvec's neighbours */
    li a3, -1
    csrw sie, a3
    csrr a0, sie
    csrw sie, zero
    csrw sepc, a3
    csrr a1, sepc
    csrw scause, a1
    csrr a2, scause
    ebreak
    snippet                 /* RewriteAtomically: as Rewrite, with an amo of eight bytes */
    jalr a0
    amoswap.d a1, a1, (a2)
    fence.i
    jalr a0
    ebreak
    snippet                 /* RewriteUnfenced: as Rewrite, without the fence */
    jalr a0
    sw a1, 0(a2)
    jalr a0
    ebreak
    snippet                 /* ReservedPair: a1 to a0, whose old value goes to a2 */
    lr.d a2, (a0)
    sc.d a3, a1, (a0)
    ebreak
    snippet                 /* Spaces: runs a0 in turns here and in the address space of a1; reads a1 back to a2 */
    csrr t0, satp
    jalr a0
    csrw satp, a1
    jalr a0
    csrr a2, satp
    csrw satp, t0
    jalr a0
    csrw satp, a1
    jalr a0
    csrw satp, t0
    ebreak
/* Loads from a0; in the address space of a1 puts a3 at a2, a page-table entry here, and fences; loads to a1. */
    .macro fenced_elsewhere page, space
    csrr t0, satp
    li t1, 0                /* the ASID here */
    ld t2, 0(a0)
    csrw satp, a1
    ld t2, 0(a0)
    sd a3, 0(a2)
    sfence.vma \page, \space
    csrw satp, t0
    ld a1, 0(a0)
    ebreak
    .endm
    snippet                 /* FenceAll */
    fenced_elsewhere zero, zero
    snippet                 /* FencePage */
    fenced_elsewhere a0, zero
    snippet                 /* FenceSpace */
    fenced_elsewhere zero, t1
    snippet                 /* FencePageOfSpace */
    fenced_elsewhere a0, t1
