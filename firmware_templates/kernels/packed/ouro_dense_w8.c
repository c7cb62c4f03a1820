/* Layers whose weights have 8 bits: the stream of ouro_dense.h holds four columns in a word. */
#include "ouro_dense.h"
#include "ouro_fixed.h"

static int32_t as_signed(uint32_t word)
{
    return (word <= (uint32_t)INT32_MAX) ? (int32_t)word : (-(int32_t)(UINT32_MAX - word) - 1);
}

/* The lowest 8 bits. */
static int32_t weight(uint32_t bits)
{
    return (int32_t)((bits & 0xFFU) ^ 0x80U) - 0x80;
}

static void rows(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end,
                 int32_t lowest)
{
    for (; y < y_end; y++) {
        int32_t acc = as_signed(*stream++);

        for (const int16_t *at = x; at < x_end; at += 4) {
            const uint32_t word = *stream++;

            acc += (weight(word) * at[0]) + (weight(word >> 8U) * at[1]) + (weight(word >> 16U) * at[2]) +
                   (weight(word >> 24U) * at[3]);
        }
        *y = ouro_sat16(acc >> *stream++, lowest);
    }
}

void ouro_dense_w8_relu(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y,
                        const int16_t *y_end)
{
    rows(stream, x, x_end, y, y_end, 0);
}

void ouro_dense_w8_signed(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y,
                          const int16_t *y_end)
{
    rows(stream, x, x_end, y, y_end, INT16_MIN);
}
