#include "ouro_dense.h"

#define WEIGHT_BYTES "2"
#define LOAD_WEIGHT "ldrh"
#define OFFSET_LOG2 "15"
#define WORDS_OF_FOUR 2
#define weight_at(stream, k) ((int32_t)(((stream)[(k) / 2U] >> (16U * ((k) % 2U))) & 0xFFFFU) - 0x8000)
#include "ouro_dense_rows.h"

DEFINE_FORMS(w16)

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

    for (; x < end; x += 2) {
        const uint32_t pair = *stream++;

        acc += (int16_t)(uint16_t)pair * (int32_t)x[0];
        acc += (int16_t)(uint16_t)(pair >> 16U) * (int32_t)x[1];
    }
    return acc;
}
