/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * memcpy for a machine whose misaligned accesses cost the same as aligned ones.
 *
 * The source's own memcpy copies byte by byte, five instructions each, when the two
 * addresses differ modulo eight or fewer than 128 bytes are asked for. Squashfs copies
 * its metadata from arbitrary offsets: that was three quarters of all instructions
 * between thaw and exit of a small program.
 *
 * void *memcpy(void *to (a0), const void *from (a1), size_t len (a2)); a0 is kept.
 */

#include <linux/linkage.h>
#include <asm/asm.h>

SYM_FUNC_START(__memcpy)
	mv	t6, a0
	add	a3, a1, a2		/* end of the source */
	li	t0, 8
	bltu	a2, t0, 4f
	addi	a4, a3, -64
	bltu	a4, a1, 2f

1:	/* 64 bytes a round while that many are left */
	ld	a5, 0(a1)
	ld	a6, 8(a1)
	ld	a7, 16(a1)
	ld	t0, 24(a1)
	ld	t1, 32(a1)
	ld	t2, 40(a1)
	ld	t3, 48(a1)
	ld	t4, 56(a1)
	sd	a5, 0(t6)
	sd	a6, 8(t6)
	sd	a7, 16(t6)
	sd	t0, 24(t6)
	sd	t1, 32(t6)
	sd	t2, 40(t6)
	sd	t3, 48(t6)
	sd	t4, 56(t6)
	addi	a1, a1, 64
	addi	t6, t6, 64
	bgeu	a4, a1, 1b

2:	/* then 8; a3 - 8 cannot wrap, 8 bytes at least were asked for */
	addi	a4, a3, -8
	bltu	a4, a1, 5f
3:	ld	a5, 0(a1)
	sd	a5, 0(t6)
	addi	a1, a1, 8
	addi	t6, t6, 8
	bgeu	a4, a1, 3b

5:	/* the last 8 bytes once more, overlapping what is there already */
	sub	a5, a3, a1
	beqz	a5, 7f
	add	t6, t6, a5
	ld	a5, -8(a3)
	sd	a5, -8(t6)
	ret

4:	/* fewer than 8 */
	bgeu	a1, a3, 7f
6:	lbu	a5, 0(a1)
	sb	a5, 0(t6)
	addi	a1, a1, 1
	addi	t6, t6, 1
	bltu	a1, a3, 6b
7:	ret
SYM_FUNC_END(__memcpy)
SYM_FUNC_ALIAS_WEAK(memcpy, __memcpy)
SYM_FUNC_ALIAS(__pi_memcpy, __memcpy)
SYM_FUNC_ALIAS(__pi___memcpy, __memcpy)
