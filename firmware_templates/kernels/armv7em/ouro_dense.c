#include "ouro_dense.h"

#include <stdbool.h>

#include "ouro_fixed.h"

#define NARROW 8U /* columns of a layer that needs no loop over them */

static uint32_t padded(uint32_t count)
{
    return (count + (OURO_DENSE_PADDING - 1U)) & ~(OURO_DENSE_PADDING - 1U);
}

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

/* All pairs of rows, y up to y_end. `columns` consumes a row pair's weights, `limit` saturates rN to an activation.
 * A shift by register takes its lowest byte. */
#define ROW_PAIRS(columns, limit)                                                                                      \
    "push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                                                  \
    "push {r1, r3}\n\t" /* sp: x, sp + 4: y_end, sp + 44: loops */                                                     \
    "1:\n\t"                                                                                                           \
    "ldmia r0!, {r7, r12}\n\t"                                                                                         \
    "ldr r1, [sp]\n\t" columns "ldr r3, [r0], #4\n\t"                                                                  \
    "asr r7, r7, r3\n\t"                                                                                               \
    "lsr r3, r3, #8\n\t"                                                                                               \
    "asr r12, r12, r3\n\t" limit "pkhbt r7, r7, r12, lsl #16\n\t"                                                      \
    "str r7, [r2], #4\n\t"                                                                                             \
    "ldr r3, [sp, #4]\n\t"                                                                                             \
    "cmp r2, r3\n\t"                                                                                                   \
    "blo 1b\n\t"                                                                                                       \
    "add sp, #8\n\t"                                                                                                   \
    "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t"

#define WIDE_COLUMNS                                                                                                   \
    "ldr lr, [sp, #44]\n\t"                                                                                            \
    "2:\n\t" EIGHT_COLUMNS EIGHT_COLUMNS "subs lr, #1\n\t"                                                             \
    "bne 2b\n\t"
#define RELU "usat r7, #15, r7\n\tusat r12, #15, r12\n\t"
#define SIGNED "ssat r7, #16, r7\n\tssat r12, #16, r12\n\t"

/* A layer's four forms. loops: sixteens of columns, not looked at by the narrow ones. */
typedef void row_pairs_t(const uint32_t *stream, const int16_t *x, int16_t *y, const int16_t *y_end, uint32_t loops);

static row_pairs_t narrow_relu, narrow_signed, wide_relu, wide_signed;

#define UNUSED __attribute__((unused)) /* by C: the instructions use it */
#define DEFINE_ROW_PAIRS(name, columns, limit)                                                                         \
    __attribute__((naked)) static void name(UNUSED const uint32_t *stream, UNUSED const int16_t *x, UNUSED int16_t *y, \
                                            UNUSED const int16_t *y_end, UNUSED uint32_t loops)                        \
    {                                                                                                                  \
        __asm__ volatile(ROW_PAIRS(columns, limit));                                                                   \
    }

DEFINE_ROW_PAIRS(narrow_relu, EIGHT_COLUMNS, RELU)
DEFINE_ROW_PAIRS(narrow_signed, EIGHT_COLUMNS, SIGNED)
DEFINE_ROW_PAIRS(wide_relu, WIDE_COLUMNS, RELU)
DEFINE_ROW_PAIRS(wide_signed, WIDE_COLUMNS, SIGNED)

static void all_rows(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    const bool relu = layer->lowest == 0;
    const uint32_t pairs = (layer->rows + 1U) / 2U;
    row_pairs_t *const narrow = relu ? narrow_relu : narrow_signed;
    row_pairs_t *const wide = relu ? wide_relu : wide_signed;
    row_pairs_t *const form = (layer->columns <= NARROW) ? narrow : wide;

    form(layer->stream, x, y, &y[2U * pairs], padded(layer->columns) / 16U);
}

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

static void all_rows(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    const uint32_t *stream = layer->stream;
    const uint32_t columns = (layer->columns <= NARROW) ? NARROW : padded(layer->columns);

    for (uint32_t r = 0U; r < layer->rows; r += 2U) {
        int32_t acc[2] = {as_signed(stream[0]), as_signed(stream[1])};

        stream += 2;
        for (uint32_t c = 0U; c < columns; c += 8U) {
            for (uint32_t k = 0U; k < 2U; k++) {
                for (uint32_t pair = 0U; pair < 4U; pair++) {
                    acc[k] = add_pair(acc[k], *stream, &x[c + (2U * pair)]);
                    stream++;
                }
            }
        }
        for (uint32_t k = 0U; k < 2U; k++) {
            y[r + k] = ouro_sat16(acc[k] >> ((*stream >> (8U * k)) & 0xFFU), layer->lowest);
        }
        stream++;
    }
}

#endif

void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    all_rows(layer, x, y);
    for (uint32_t r = layer->rows; r < padded(layer->rows); r++) {
        y[r] = 0;
    }
}

int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x)
{
    const uint32_t *stream = layer->stream;
    int32_t acc = (int32_t)stream[0];

    stream += 2;
    for (uint32_t c = 0U; c < layer->columns; c += 8U) { /* skipping the missing second row */
        acc = add_pair(acc, stream[0], &x[c]);
        acc = add_pair(acc, stream[1], &x[c + 2U]);
        acc = add_pair(acc, stream[2], &x[c + 4U]);
        acc = add_pair(acc, stream[3], &x[c + 6U]);
        stream += 8;
    }
    return acc;
}
