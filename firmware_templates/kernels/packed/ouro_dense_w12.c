/* Layers whose weights have 12 bits, in plain C for every core.
 *
 * The stream holds the rows one after the other: the bias, with the rounding addend 2**(shift - 1) in it; the weights,
 * eight columns to three words; the shift. Six columns lie in the upper 12 bits of the words' six halves, lower half
 * first. The seventh lies in the lowest four bits of the three lower halves, its highest bits first, the eighth in
 * those of the upper halves. */
#include "ouro_dense.h"
#include "ouro_fixed.h"

static int32_t as_signed(uint32_t word)
{
    return (word <= (uint32_t)INT32_MAX) ? (int32_t)word : (-(int32_t)(UINT32_MAX - word) - 1);
}

/* The seventh and the eighth column, each in the upper 12 bits of a half. */
static uint32_t last_pair(const uint32_t *three)
{
    const uint32_t lowest = 0x000F000FU;

    return ((three[0] & lowest) << 12U) | ((three[1] & lowest) << 8U) | ((three[2] & lowest) << 4U);
}

#if defined(__ARM_ARCH_7EM__) && defined(__ARM_FEATURE_DSP)

/* acc + 16 times the weights of a pair times x, whose address is that of a word. */
static int64_t add_pair(int64_t acc, uint32_t pair, const int16_t *x)
{
    const uint32_t pair_x = *(const uint32_t *)(const void *)x;

    __asm__("smlald %Q0, %R0, %1, %2" : "+r"(acc) : "r"(pair), "r"(pair_x));
    return acc;
}

static int32_t row(int32_t bias, const uint32_t *weights, const int16_t *x, const int16_t *x_end)
{
    const uint32_t of_others = 0x000F000FU; /* bits in a half that belong to the seventh or the eighth column */
    int64_t acc = 0;

    for (; x < x_end; x += 8) {
        acc = add_pair(acc, weights[0] & ~of_others, &x[0]);
        acc = add_pair(acc, weights[1] & ~of_others, &x[2]);
        acc = add_pair(acc, weights[2] & ~of_others, &x[4]);
        acc = add_pair(acc, last_pair(weights), &x[6]);
        weights += 3;
    }
    return bias + (int32_t)(acc >> 4U);
}

#else

static int32_t add_pair(int32_t acc, uint32_t pair, const int16_t *x)
{
    return acc + ((as_signed(pair << 16U) >> 20U) * x[0]) + ((as_signed(pair) >> 20U) * x[1]);
}

static int32_t row(int32_t bias, const uint32_t *weights, const int16_t *x, const int16_t *x_end)
{
    int32_t acc = bias;

    for (; x < x_end; x += 8) {
        acc = add_pair(acc, weights[0], &x[0]);
        acc = add_pair(acc, weights[1], &x[2]);
        acc = add_pair(acc, weights[2], &x[4]);
        acc = add_pair(acc, last_pair(weights), &x[6]);
        weights += 3;
    }
    return acc;
}

#endif

static void rows(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end,
                 int32_t lowest)
{
    const uint32_t words = 3U * ((uint32_t)(x_end - x) / 8U);

    for (; y < y_end; y++) {
        const int32_t acc = row(as_signed(stream[0]), &stream[1], x, x_end);

        *y = ouro_sat16(acc >> stream[1U + words], lowest);
        stream += words + 2U;
    }
}

void ouro_dense_w12_relu(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y,
                         const int16_t *y_end)
{
    rows(stream, x, x_end, y, y_end, 0);
}

void ouro_dense_w12_signed(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y,
                           const int16_t *y_end)
{
    rows(stream, x, x_end, y, y_end, INT16_MIN);
}
