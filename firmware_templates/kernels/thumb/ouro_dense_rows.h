/* The rows of a layer, four by four. The file that includes this says how its weights are kept:
 * WEIGHT_BYTES, LOAD_WEIGHT (an unsigned load) and OFFSET_LOG2 (weights have 2**OFFSET_LOG2 added), as text, and
 * weight_at(stream, k), the k-th weight of a stream, for other targets. */
#ifndef OURO_DENSE_ROWS_H
#define OURO_DENSE_ROWS_H

#include "ouro_dense.h"
#include "ouro_fixed.h"

#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__)

/* What the architectures do differently. Accumulators of the four rows: r4 .. r7; r2: an activation; r3: free. */
#if defined(__ARM_ARCH_6M__)
#define LOAD_SIGNED(to, at) "ldrh " to ", " at "\n\tsxth " to ", " to "\n\t"
#define MULTIPLY_ADD(acc) "muls r3, r2\n\tadds " acc ", r3\n\t"
#define ZERO_IF_NEGATIVE(acc) "asrs r3, " acc ", #31\n\tbics " acc ", r3\n\t"
#define NOT_ABOVE(acc, highest) "cmp " acc ", " highest "\n\tble 9f\n\tmov " acc ", " highest "\n\t9:\n\t"
#define NOT_BELOW(acc, lowest) "cmp " acc ", " lowest "\n\tbge 9f\n\tmov " acc ", " lowest "\n\t9:\n\t"
#define RELU(acc) ZERO_IF_NEGATIVE(acc) NOT_ABOVE(acc, "lr")
#define SIGNED(acc) NOT_ABOVE(acc, "lr") "mov r3, lr\n\tmvns r3, r3\n\t" NOT_BELOW(acc, "r3")
#else
#define LOAD_SIGNED(to, at) "ldrsh " to ", " at "\n\t"
#define MULTIPLY_ADD(acc) "mla " acc ", r3, r2, " acc "\n\t"
#define RELU(acc) "usat " acc ", #15, " acc "\n\t"
#define SIGNED(acc) "ssat " acc ", #16, " acc "\n\t"
#endif
#define LOAD_POSITIVE(to, at) "ldrh " to ", " at "\n\t"

/* A column of four rows. r0: stream, r1: activations; `load` takes one. */
#define ROW(acc, k) LOAD_WEIGHT " r3, [r0, #" WEIGHT_BYTES "*" #k "]\n\t" MULTIPLY_ADD(acc)
#define COLUMN(load, x_offset, k0, k1, k2, k3)                                                                         \
    load("r2", "[r1, #" #x_offset "]") ROW("r4", k0) ROW("r5", k1) ROW("r6", k2) ROW("r7", k3)
#define ADD_UP(load, x_offset) load("r2", "[r1, #" #x_offset "]") "adds r4, r2\n\t"

/* Two columns a turn where inputs may be negative, eight where they are not. */
#define SIGNED_COLUMNS                                                                                                 \
    COLUMN(LOAD_SIGNED, 0, 0, 1, 2, 3)                                                                                 \
    COLUMN(LOAD_SIGNED, 2, 4, 5, 6, 7)                                                                                 \
    "adds r0, #" WEIGHT_BYTES "*8\n\t"                                                                                 \
    "adds r1, #4\n\t"
#define SIGNED_SUM                                                                                                     \
    ADD_UP(LOAD_SIGNED, 0)                                                                                             \
    ADD_UP(LOAD_SIGNED, 2)                                                                                             \
    "adds r1, #4\n\t"
#define POSITIVE_COLUMNS                                                                                               \
    COLUMN(LOAD_POSITIVE, 0, 0, 1, 2, 3)                                                                               \
    COLUMN(LOAD_POSITIVE, 2, 4, 5, 6, 7)                                                                               \
    COLUMN(LOAD_POSITIVE, 4, 8, 9, 10, 11)                                                                             \
    COLUMN(LOAD_POSITIVE, 6, 12, 13, 14, 15)                                                                           \
    COLUMN(LOAD_POSITIVE, 8, 16, 17, 18, 19)                                                                           \
    COLUMN(LOAD_POSITIVE, 10, 20, 21, 22, 23)                                                                          \
    COLUMN(LOAD_POSITIVE, 12, 24, 25, 26, 27)                                                                          \
    COLUMN(LOAD_POSITIVE, 14, 28, 29, 30, 31)                                                                          \
    "adds r0, #" WEIGHT_BYTES "*32\n\t"                                                                                \
    "adds r1, #16\n\t"
#define POSITIVE_SUM                                                                                                   \
    ADD_UP(LOAD_POSITIVE, 0)                                                                                           \
    ADD_UP(LOAD_POSITIVE, 2)                                                                                           \
    ADD_UP(LOAD_POSITIVE, 4)                                                                                           \
    ADD_UP(LOAD_POSITIVE, 6)                                                                                           \
    ADD_UP(LOAD_POSITIVE, 8)                                                                                           \
    ADD_UP(LOAD_POSITIVE, 10)                                                                                          \
    ADD_UP(LOAD_POSITIVE, 12)                                                                                          \
    ADD_UP(LOAD_POSITIVE, 14)                                                                                          \
    "adds r1, #16\n\t"

/* The offset added to every weight adds offset * (x[0] + x[1] + ...) to every row: r10, which is taken off its bias.
 * Sums and products are right modulo 2**32, hence right, since the accumulators fit int32_t.
 * r8: end of x, r9: y, r11: x, r12: end of y, lr: INT16_MAX. A shift by register takes its lowest byte. */
#define FORM(sum, columns, limit)                                                                                      \
    ".syntax unified\n\t"                                                                                              \
    "push {r4, r5, r6, r7, lr}\n\t"                                                                                    \
    "mov r4, r8\n\t"                                                                                                   \
    "mov r5, r9\n\t"                                                                                                   \
    "mov r6, r10\n\t"                                                                                                  \
    "mov r7, r11\n\t"                                                                                                  \
    "push {r4, r5, r6, r7}\n\t"                                                                                        \
    "mov r8, r2\n\t"                                                                                                   \
    "mov r9, r3\n\t"                                                                                                   \
    "mov r11, r1\n\t"                                                                                                  \
    "ldr r4, [sp, #36]\n\t"                                                                                            \
    "mov r12, r4\n\t"                                                                                                  \
    "movs r4, #1\n\t"                                                                                                  \
    "lsls r4, #15\n\t"                                                                                                 \
    "subs r4, #1\n\t"                                                                                                  \
    "mov lr, r4\n\t"                                                                                                   \
    "movs r4, #0\n\t"                                                                                                  \
    "1:\n\t" sum "cmp r1, r8\n\t"                                                                                      \
    "bne 1b\n\t"                                                                                                       \
    "lsls r4, #" OFFSET_LOG2 "\n\t"                                                                                    \
    "mov r10, r4\n\t"                                                                                                  \
    "2:\n\t"                                                                                                           \
    "ldmia r0!, {r4, r5, r6, r7}\n\t"                                                                                  \
    "mov r1, r10\n\t"                                                                                                  \
    "subs r4, r1\n\t"                                                                                                  \
    "subs r5, r1\n\t"                                                                                                  \
    "subs r6, r1\n\t"                                                                                                  \
    "subs r7, r1\n\t"                                                                                                  \
    "mov r1, r11\n\t"                                                                                                  \
    "3:\n\t" columns "cmp r1, r8\n\t"                                                                                  \
    "bne 3b\n\t"                                                                                                       \
    "ldmia r0!, {r3}\n\t"                                                                                              \
    "asrs r4, r3\n\t"                                                                                                  \
    "lsrs r3, #8\n\t"                                                                                                  \
    "asrs r5, r3\n\t"                                                                                                  \
    "lsrs r3, #8\n\t"                                                                                                  \
    "asrs r6, r3\n\t"                                                                                                  \
    "lsrs r3, #8\n\t"                                                                                                  \
    "asrs r7, r3\n\t" limit("r4") limit("r5") limit("r6")                                                              \
        limit("r7") "mov r3, r9\n\t"                                                                                   \
                    "strh r4, [r3, #0]\n\t"                                                                            \
                    "strh r5, [r3, #2]\n\t"                                                                            \
                    "strh r6, [r3, #4]\n\t"                                                                            \
                    "strh r7, [r3, #6]\n\t"                                                                            \
                    "adds r3, #8\n\t"                                                                                  \
                    "mov r9, r3\n\t"                                                                                   \
                    "cmp r3, r12\n\t"                                                                                  \
                    "beq 4f\n\t"                                                                                       \
                    "b 2b\n\t" /* further than a conditional branch reaches on ARMv6-M */                              \
                    "4:\n\t"                                                                                           \
                    "pop {r4, r5, r6, r7}\n\t"                                                                         \
                    "mov r8, r4\n\t"                                                                                   \
                    "mov r9, r5\n\t"                                                                                   \
                    "mov r10, r6\n\t"                                                                                  \
                    "mov r11, r7\n\t"                                                                                  \
                    "pop {r4, r5, r6, r7, pc}\n\t"

#define UNUSED __attribute__((unused)) /* by C: the instructions use it */
#define DEFINE_FORM(name, sum, columns, limit)                                                                         \
    __attribute__((naked)) void name(UNUSED const uint32_t *stream, UNUSED const int16_t *x,                           \
                                     UNUSED const int16_t *x_end, UNUSED int16_t *y, UNUSED const int16_t *y_end)      \
    {                                                                                                                  \
        __asm__ volatile(FORM(sum, columns, limit));                                                                   \
    }

#define DEFINE_FORMS(width)                                                                                            \
    DEFINE_FORM(ouro_dense_##width##_relu_to_relu, POSITIVE_SUM, POSITIVE_COLUMNS, RELU)                               \
    DEFINE_FORM(ouro_dense_##width##_relu_to_signed, POSITIVE_SUM, POSITIVE_COLUMNS, SIGNED)                           \
    DEFINE_FORM(ouro_dense_##width##_signed_to_relu, SIGNED_SUM, SIGNED_COLUMNS, RELU)                                 \
    DEFINE_FORM(ouro_dense_##width##_signed_to_signed, SIGNED_SUM, SIGNED_COLUMNS, SIGNED)

#else

static int32_t as_signed(uint32_t word)
{
    return (word <= (uint32_t)INT32_MAX) ? (int32_t)word : (-(int32_t)(UINT32_MAX - word) - 1);
}

static void rows_in_c(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end,
                      int32_t lowest)
{
    for (; y < y_end; y += 4) {
        int32_t acc[4];

        for (uint32_t k = 0U; k < 4U; k++) {
            acc[k] = as_signed(*stream++);
        }
        for (const int16_t *at = x; at < x_end; at++) {
            for (uint32_t k = 0U; k < 4U; k++) {
                acc[k] += weight_at(stream, k) * *at;
            }
            stream += WORDS_OF_FOUR;
        }
        for (uint32_t k = 0U; k < 4U; k++) {
            y[k] = ouro_sat16(acc[k] >> ((*stream >> (8U * k)) & 0xFFU), lowest);
        }
        stream++;
    }
}

#define DEFINE_FORM(name, lowest)                                                                                      \
    void name(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end)        \
    {                                                                                                                  \
        rows_in_c(stream, x, x_end, y, y_end, lowest);                                                                 \
    }

#define DEFINE_FORMS(width)                                                                                            \
    DEFINE_FORM(ouro_dense_##width##_relu_to_relu, 0)                                                                  \
    DEFINE_FORM(ouro_dense_##width##_relu_to_signed, INT16_MIN)                                                        \
    DEFINE_FORM(ouro_dense_##width##_signed_to_relu, 0)                                                                \
    DEFINE_FORM(ouro_dense_##width##_signed_to_signed, INT16_MIN)

#endif

#endif
