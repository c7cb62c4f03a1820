/* Fully connected layers for AVR: int16 weights times int16 activations, int32 accumulators; tables stay in flash. */
#ifndef OURO_DENSE_H
#define OURO_DENSE_H

#include <stdint.h>

#include "ouro_flash.h"

/* One layer y = W x + b. Row r has its own weight scale, undone by its own shift. */
typedef struct {
    const OURO_FLASH int16_t *weights; /* rows x columns, row after row */
    const OURO_FLASH int32_t *bias; /* rows; in units of the accumulator, the rounding addend 2**(shift - 1) included */
    const OURO_FLASH uint8_t *shift; /* rows; 1 .. 30, from accumulator to output; NULL in the output layer */
    uint16_t rows;                   /* outputs */
    uint16_t columns;                /* inputs, at least 1 */
    int16_t lowest;                  /* smallest output: 0 with ReLU, INT16_MIN without */
} ouro_layer_t;

#define OURO_DENSE_PADDING 1U /* activation buffers hold a multiple of this */

/* y[r] = sat16((bias[r] + sum_c weights[r][c] * x[c]) >> shift[r]), not below layer->lowest. With the addend in the
 * bias the shift rounds as ouro_rshift_round does.
 *
 * x: layer->columns activations within the interval the generator proved the accumulators for.
 * y: layer->rows activations; must not overlap x.
 * No accumulator overflows, in whichever order the terms are added: proven from the weights on generation. */
void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y);

/* The output layer's single accumulator, bias[0] + sum_c weights[0][c] * x[c]; -INT32_MAX .. INT32_MAX. */
int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x);

#endif
