/*
 * Executes one floating-point instruction per record of standard input and writes its result and
 * flags to standard output. cases.h has an INSTRUCTION(number, assembly) line per instruction;
 * the assembly takes ft0, ft1, ft2 or t0 and leaves its result in ft3 or t1.
 */
#include <stdint.h>
#include <stdio.h>

struct record {
    uint64_t instruction, rounding_mode, operands[3];
};

struct outcome {
    uint64_t float_register, integer_register, flags;
};

#define INSTRUCTION(number, assembly)                                                         \
    case number:                                                                              \
        asm volatile("fmv.d.x ft0, %3\n fmv.d.x ft1, %4\n fmv.d.x ft2, %5\n mv t0, %3\n"      \
                     "fmv.d.x ft3, zero\n li t1, 0\n csrw fcsr, %6\n" assembly "\n"           \
                     "csrr %2, fflags\n fmv.x.d %0, ft3\n mv %1, t1\n"                        \
                     : "=&r"(out.float_register), "=&r"(out.integer_register), "=&r"(out.flags) \
                     : "r"(in->operands[0]), "r"(in->operands[1]), "r"(in->operands[2]),      \
                       "r"(in->rounding_mode << 5)                                            \
                     : "t0", "t1", "ft0", "ft1", "ft2", "ft3");                               \
        break;

static struct outcome execute(const struct record *in) {
    struct outcome out = {0, 0, 0};
    switch (in->instruction) {
#include "cases.h"
    }
    return out;
}

int main(void) {
    static struct record in[4096];
    static struct outcome out[4096];
    size_t count;
    while ((count = fread(in, sizeof in[0], 4096, stdin)) > 0) {
        for (size_t i = 0; i < count; i++)
            out[i] = execute(&in[i]);
        if (fwrite(out, sizeof out[0], count, stdout) != count)
            return 1;
    }
    return 0;
}
