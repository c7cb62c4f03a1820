/* Layers whose weights have 8 bits. */
#include "ouro_dense.h"
#include "ouro_fixed.h"

#if defined(__ARM_ARCH_7EM__) && defined(__ARM_FEATURE_DSP)

/* Two columns of both rows: a word w of weights, 256 * a + b in each half, and the pair x of activations. Adds
 * a sum of 256 * a + b to the 64 bits lr:r12, the same sum of b, which is the lower byte of each half, to r7. */
#define TWO_COLUMNS(w, x)                                                                                              \
    "smlald r12, lr, " w ", " x "\n\t"                                                                                 \
    "sxtb16 " w ", " w "\n\t"                                                                                          \
    "smlad r7, " w ", " x ", r7\n\t"
#define FOUR_COLUMNS                                                                                                   \
    "ldmia r1!, {r3, r4}\n\t"                                                                                          \
    "ldmia r0!, {r8, r9}\n\t" TWO_COLUMNS("r8", "r3") TWO_COLUMNS("r9", "r4")
#define EIGHT_COLUMNS                                                                                                  \
    "ldmia r1!, {r3, r4, r5, r6}\n\t"                                                                                  \
    "ldmia r0!, {r8, r9, r10, r11}\n\t" TWO_COLUMNS("r8", "r3") TWO_COLUMNS("r9", "r4") TWO_COLUMNS("r10", "r5")       \
        TWO_COLUMNS("r11", "r6")
#define WIDE_COLUMNS                                                                                                   \
    "2:\n\t" EIGHT_COLUMNS EIGHT_COLUMNS "cmp r1, r2\n\t"                                                              \
    "bne 2b\n\t"

/* All pairs of rows, y up to y_end. r7 and lr:r12 start from the second row's bias, so that their difference is 256
 * times the first row's sum, which fits int32_t as every sum of some terms of an accumulator does. */
#define ROW_PAIRS(columns, limit)                                                                                      \
    "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                                  \
    "push {r1, r2, r3}\n\t" /* sp: x, x_end, y; sp + 48: y_end */                                                      \
    "1:\n\t"                                                                                                           \
    "ldr r7, [r0], #4\n\t"                                                                                             \
    "ldrd r1, r2, [sp]\n\t"                                                                                            \
    "mov r12, r7\n\t"                                                                                                  \
    "asr lr, r7, #31\n\t" columns "ldmia r0!, {r3, r4}\n\t" /* the first row's bias; shifts */                         \
    "subs r12, r12, r7\n\t"                                                                                            \
    "sbc lr, lr, r7, asr #31\n\t"                                                                                      \
    "add r3, r3, r12, lsr #8\n\t"                                                                                      \
    "add r12, r3, lr, lsl #24\n\t"                                                                                     \
    "asr r7, r7, r4\n\t"                                                                                               \
    "lsr r4, r4, #8\n\t"                                                                                               \
    "asr r12, r12, r4\n\t" limit "pkhbt r7, r12, r7, lsl #16\n\t"                                                      \
    "ldr r2, [sp, #8]\n\t"                                                                                             \
    "ldr r3, [sp, #48]\n\t"                                                                                            \
    "str r7, [r2], #4\n\t"                                                                                             \
    "str r2, [sp, #8]\n\t"                                                                                             \
    "cmp r2, r3\n\t"                                                                                                   \
    "blo 1b\n\t"                                                                                                       \
    "add sp, #12\n\t"                                                                                                  \
    "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t"
#define RELU "usat r7, #15, r7\n\tusat r12, #15, r12\n\t"
#define SIGNED "ssat r7, #16, r7\n\tssat r12, #16, r12\n\t"

#define UNUSED __attribute__((unused)) /* by C: the instructions use it */
#define DEFINE_FORM(name, columns, limit)                                                                              \
    __attribute__((naked)) void name(UNUSED const uint32_t *stream, UNUSED const int16_t *x,                           \
                                     UNUSED const int16_t *x_end, UNUSED int16_t *y, UNUSED const int16_t *y_end)      \
    {                                                                                                                  \
        __asm__ volatile(ROW_PAIRS(columns, limit));                                                                   \
    }

DEFINE_FORM(ouro_dense_w8_narrow_relu, FOUR_COLUMNS, RELU)
DEFINE_FORM(ouro_dense_w8_narrow_signed, FOUR_COLUMNS, SIGNED)
DEFINE_FORM(ouro_dense_w8_wide_relu, WIDE_COLUMNS, RELU)
DEFINE_FORM(ouro_dense_w8_wide_signed, WIDE_COLUMNS, SIGNED)

#else

static int32_t as_signed(uint32_t word)
{
    return (word <= (uint32_t)INT32_MAX) ? (int32_t)word : (-(int32_t)(UINT32_MAX - word) - 1);
}

/* 256 * a + b, with |a| and |b| at most 127, to its parts. */
static int32_t second_of(uint32_t half)
{
    return (int32_t)((half & 0xFFU) ^ 0x80U) - 0x80;
}

static int32_t first_of(uint32_t half)
{
    const int32_t both = (int32_t)((half & 0xFFFFU) ^ 0x8000U) - 0x8000;

    return (both - second_of(half)) / 256;
}

static void row_pairs(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end,
                      int32_t lowest)
{
    for (; y < y_end; y += 2) {
        int32_t second = as_signed(*stream++);
        int32_t first = 0;

        for (const int16_t *at = x; at < x_end; at += 2) {
            first += (first_of(*stream) * at[0]) + (first_of(*stream >> 16U) * at[1]);
            second += (second_of(*stream) * at[0]) + (second_of(*stream >> 16U) * at[1]);
            stream++;
        }
        first += as_signed(*stream++);
        y[0] = ouro_sat16(first >> ((*stream >> 8U) & 0xFFU), lowest);
        y[1] = ouro_sat16(second >> (*stream & 0xFFU), lowest);
        stream++;
    }
}

#define DEFINE_FORM(name, lowest)                                                                                      \
    void name(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end)        \
    {                                                                                                                  \
        row_pairs(stream, x, x_end, y, y_end, lowest);                                                                 \
    }

DEFINE_FORM(ouro_dense_w8_narrow_relu, 0)
DEFINE_FORM(ouro_dense_w8_narrow_signed, INT16_MIN)
DEFINE_FORM(ouro_dense_w8_wide_relu, 0)
DEFINE_FORM(ouro_dense_w8_wide_signed, INT16_MIN)

#endif
