#include "ouro_dense.h"

#include "ouro_fixed.h"

/* bias + sum of weights[c] * x[c]. Both factors are int16_t, so every product fits int32_t. */
static int32_t accumulate(const int16_t *weights, const int16_t *x, uint16_t columns, int32_t bias)
{
    int32_t acc = bias;

    for (uint32_t c = 0U; c < columns; c++) {
        acc += (int32_t)weights[c] * (int32_t)x[c];
    }
    return acc;
}

void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    const int16_t *weights = layer->weights;

    for (uint32_t r = 0U; r < layer->rows; r++) {
        const int32_t acc = accumulate(weights, x, layer->columns, layer->bias[r]);

        y[r] = ouro_sat16(ouro_rshift_round(acc, layer->shift[r]), layer->lowest);
        weights += layer->columns;
    }
}

int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x)
{
    return accumulate(layer->weights, x, layer->columns, layer->bias[0]);
}
