#include "ouro_dense.h"

#include "ouro_fixed.h"

#define ROWS_AT_ONCE 4U /* share the loads of the activations; cores with many registers gain */

/* bias + sum of weights[c] * x[c]. Both factors are int16_t, so every product fits int32_t. */
static int32_t accumulate(const int16_t *weights, const int16_t *x, uint32_t columns, int32_t bias)
{
    int32_t acc = bias;

    for (uint32_t c = 0U; c < columns; c++) {
        acc += (int32_t)weights[c] * (int32_t)x[c];
    }
    return acc;
}

/* The same for ROWS_AT_ONCE rows that follow each other. */
static inline void accumulate_rows(const int16_t *weights, const int16_t *x, uint32_t columns, const int32_t *bias,
                                   int32_t acc[ROWS_AT_ONCE])
{
    const int16_t *w0 = weights;
    const int16_t *w1 = &w0[columns];
    const int16_t *w2 = &w1[columns];
    const int16_t *w3 = &w2[columns];
    int32_t a0 = bias[0];
    int32_t a1 = bias[1];
    int32_t a2 = bias[2];
    int32_t a3 = bias[3];

    for (uint32_t c = columns; c > 0U; c--) {
        const int32_t v = *x++;

        a0 += *w0++ * v;
        a1 += *w1++ * v;
        a2 += *w2++ * v;
        a3 += *w3++ * v;
    }
    acc[0] = a0;
    acc[1] = a1;
    acc[2] = a2;
    acc[3] = a3;
}

void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    const uint32_t columns = layer->columns;
    const int16_t *weights = layer->weights;
    uint32_t r = 0U;

    for (; (r + ROWS_AT_ONCE) <= layer->rows; r += ROWS_AT_ONCE) {
        int32_t acc[ROWS_AT_ONCE];

        accumulate_rows(weights, x, columns, &layer->bias[r], acc);
        for (uint32_t k = 0U; k < ROWS_AT_ONCE; k++) {
            y[r + k] = ouro_sat16(acc[k] >> layer->shift[r + k], layer->lowest);
        }
        weights += ROWS_AT_ONCE * columns;
    }
    for (; r < layer->rows; r++) {
        y[r] = ouro_sat16(accumulate(weights, x, columns, layer->bias[r]) >> layer->shift[r], layer->lowest);
        weights += columns;
    }
}

int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x)
{
    return accumulate(layer->weights, x, layer->columns, layer->bias[0]);
}
