#include "ouro_dense.h"

#include "ouro_fixed.h"

#if defined(__ARM_ARCH_7EM__) && defined(__ARM_FEATURE_DSP)

/* Eight columns of both rows. r0: stream, r1: activations, r7 and r12: accumulators. Four pairs of activations are
 * loaded once and serve both rows. */
#define EIGHT_COLUMNS                                                                                                  \
    "ldmia r1!, {r3, r4, r5, r6}\n\t"                                                                                  \
    "ldmia r0!, {r8, r9, r10, r11}\n\t"                                                                                \
    "smlad r7, r8, r3, r7\n\t"                                                                                         \
    "smlad r7, r9, r4, r7\n\t"                                                                                         \
    "smlad r7, r10, r5, r7\n\t"                                                                                        \
    "smlad r7, r11, r6, r7\n\t"                                                                                        \
    "ldmia r0!, {r8, r9, r10, r11}\n\t"                                                                                \
    "smlad r12, r8, r3, r12\n\t"                                                                                       \
    "smlad r12, r9, r4, r12\n\t"                                                                                       \
    "smlad r12, r10, r5, r12\n\t"                                                                                      \
    "smlad r12, r11, r6, r12\n\t"

#define FOUR_COLUMNS                                                                                                   \
    "ldmia r1!, {r3, r4}\n\t"                                                                                          \
    "ldmia r0!, {r8, r9, r10, r11}\n\t"                                                                                \
    "smlad r7, r8, r3, r7\n\t"                                                                                         \
    "smlad r7, r9, r4, r7\n\t"                                                                                         \
    "smlad r12, r10, r3, r12\n\t"                                                                                      \
    "smlad r12, r11, r4, r12\n\t"

/* All pairs of rows, y up to y_end. `columns` consumes a row pair's weights, `limit` saturates rN to an activation.
 * A shift by register takes its lowest byte. */
#define ROW_PAIRS(columns, limit)                                                                                      \
    "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                                  \
    "push {r1, r2}\n\t" /* sp: x, sp + 4: x_end, sp + 44: y_end */                                                     \
    "mov r2, r3\n\t"                                                                                                   \
    "1:\n\t"                                                                                                           \
    "ldmia r0!, {r7, r12}\n\t"                                                                                         \
    "ldr r1, [sp]\n\t" columns "ldr r3, [r0], #4\n\t"                                                                  \
    "asr r7, r7, r3\n\t"                                                                                               \
    "lsr r3, r3, #8\n\t"                                                                                               \
    "asr r12, r12, r3\n\t" limit "pkhbt r7, r7, r12, lsl #16\n\t"                                                      \
    "str r7, [r2], #4\n\t"                                                                                             \
    "ldr r3, [sp, #44]\n\t"                                                                                            \
    "cmp r2, r3\n\t"                                                                                                   \
    "blo 1b\n\t"                                                                                                       \
    "add sp, #8\n\t"                                                                                                   \
    "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t"

#define WIDE_COLUMNS                                                                                                   \
    "ldr lr, [sp, #4]\n\t"                                                                                             \
    "2:\n\t" EIGHT_COLUMNS EIGHT_COLUMNS "cmp r1, lr\n\t"                                                              \
    "bne 2b\n\t"
#define RELU "usat r7, #15, r7\n\tusat r12, #15, r12\n\t"
#define SIGNED "ssat r7, #16, r7\n\tssat r12, #16, r12\n\t"

#define UNUSED __attribute__((unused)) /* by C: the instructions use it */
#define DEFINE_FORM(name, columns, limit)                                                                              \
    __attribute__((naked)) void name(UNUSED const uint32_t *stream, UNUSED const int16_t *x,                           \
                                     UNUSED const int16_t *x_end, UNUSED int16_t *y, UNUSED const int16_t *y_end)      \
    {                                                                                                                  \
        __asm__ volatile(ROW_PAIRS(columns, limit));                                                                   \
    }

DEFINE_FORM(ouro_dense_w16_narrow_relu, FOUR_COLUMNS, RELU)
DEFINE_FORM(ouro_dense_w16_narrow_signed, FOUR_COLUMNS, SIGNED)
DEFINE_FORM(ouro_dense_w16_wide_relu, WIDE_COLUMNS, RELU)
DEFINE_FORM(ouro_dense_w16_wide_signed, WIDE_COLUMNS, SIGNED)

/* acc + the products of the lower and of the upper halves. */
static int32_t add_pair(int32_t acc, uint32_t pair_w, const int16_t *x)
{
    int32_t sum;

    __asm__("smlad %0, %1, %2, %3" : "=r"(sum) : "r"(pair_w), "r"(*(const uint32_t *)(const void *)x), "r"(acc));
    return sum;
}

#else

static int16_t low_half(uint32_t word)
{
    const uint32_t half = word & 0xFFFFU;

    return (int16_t)((half < 0x8000U) ? (int32_t)half : ((int32_t)half - 0x10000));
}

static int32_t add_pair(int32_t acc, uint32_t pair_w, const int16_t *x)
{
    return acc + ((int32_t)low_half(pair_w) * x[0]) + ((int32_t)low_half(pair_w >> 16U) * x[1]);
}

static int32_t as_signed(uint32_t word)
{
    return (word <= (uint32_t)INT32_MAX) ? (int32_t)word : (-(int32_t)(UINT32_MAX - word) - 1);
}

static void row_pairs(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end,
                      int32_t lowest)
{
    const uint32_t block = ((x_end - x) < 8) ? 4U : 8U; /* columns of one row before those of the other */

    for (; y < y_end; y += 2) {
        int32_t acc[2] = {as_signed(stream[0]), as_signed(stream[1])};

        stream += 2;
        for (const int16_t *at = x; at < x_end; at += block) {
            for (uint32_t k = 0U; k < 2U; k++) {
                for (uint32_t pair = 0U; pair < (block / 2U); pair++) {
                    acc[k] = add_pair(acc[k], *stream, &at[2U * pair]);
                    stream++;
                }
            }
        }
        for (uint32_t k = 0U; k < 2U; k++) {
            y[k] = ouro_sat16(acc[k] >> ((*stream >> (8U * k)) & 0xFFU), lowest);
        }
        stream++;
    }
}

#define DEFINE_FORM(name, lowest)                                                                                      \
    void name(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end)        \
    {                                                                                                                  \
        row_pairs(stream, x, x_end, y, y_end, lowest);                                                                 \
    }

DEFINE_FORM(ouro_dense_w16_narrow_relu, 0)
DEFINE_FORM(ouro_dense_w16_narrow_signed, INT16_MIN)
DEFINE_FORM(ouro_dense_w16_wide_relu, 0)
DEFINE_FORM(ouro_dense_w16_wide_signed, INT16_MIN)

#endif

void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    layer->form(layer->stream, x, &x[layer->columns], y, &y[layer->rows]);
    for (uint32_t r = layer->rows; (r % OURO_DENSE_PADDING) != 0U; r++) {
        y[r] = 0;
    }
}

int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x)
{
    const uint32_t *stream = layer->stream;
    const int16_t *const end = &x[layer->columns];
    int32_t acc = (int32_t)*stream++;

    for (; x < end; x += 8) {
        acc = add_pair(acc, stream[0], &x[0]);
        acc = add_pair(acc, stream[1], &x[2]);
        acc = add_pair(acc, stream[2], &x[4]);
        acc = add_pair(acc, stream[3], &x[6]);
        stream += 4;
    }
    return acc;
}
