#include "ouro_dense.h"

#include "ouro_fixed.h"

static int32_t as_signed(uint32_t word)
{
    return (word <= (uint32_t)INT32_MAX) ? (int32_t)word : (-(int32_t)(UINT32_MAX - word) - 1);
}

/* The lowest 16 bits. */
static int32_t weight(uint32_t bits)
{
    return (int32_t)((bits & 0xFFFFU) ^ 0x8000U) - 0x8000;
}

/* acc + a row of weights, two columns to a word, times x. */
static int32_t add_row(int32_t acc, const uint32_t *weights, const int16_t *x, const int16_t *x_end)
{
    for (; x < x_end; x += 2) {
        const uint32_t word = *weights++;

        acc += (weight(word) * x[0]) + (weight(word >> 16U) * x[1]);
    }
    return acc;
}

static void rows(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end,
                 int32_t lowest)
{
    for (; y < y_end; y++) {
        const int32_t acc = add_row(as_signed(stream[0]), &stream[1], x, x_end);

        stream += 1 + ((x_end - x) / 2);
        *y = ouro_sat16(acc >> *stream++, lowest);
    }
}

void ouro_dense_w16_relu(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y,
                         const int16_t *y_end)
{
    rows(stream, x, x_end, y, y_end, 0);
}

void ouro_dense_w16_signed(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y,
                           const int16_t *y_end)
{
    rows(stream, x, x_end, y, y_end, INT16_MIN);
}

void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    layer->form(layer->stream, x, &x[layer->columns], y, &y[layer->rows]);
    for (uint32_t r = layer->rows; (r % OURO_DENSE_PADDING) != 0U; r++) {
        y[r] = 0;
    }
}

int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x)
{
    return add_row(as_signed(layer->stream[0]), &layer->stream[1], x, &x[layer->columns]);
}
