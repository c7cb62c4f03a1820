/* Fully connected layers for RISC-V with a multiplier: int16 weights times int16 activations, int32 accumulators. */
#ifndef OURO_DENSE_H
#define OURO_DENSE_H

#include <stdint.h>

/* One layer y = W x + b. Row r has its own weight scale, undone by its own shift.
 *
 * Weights lie eight rows at a time, column by column: those of rows 0 to 7 in column 0, then in column 1. Missing rows
 * and columns are zero. The output layer's one row lies alone. */
typedef struct {
    const int16_t *weights; /* rows x columns */
    const int32_t *bias;    /* rows; in units of the accumulator, the rounding addend 2**(shift - 1) included */
    const uint8_t *shift;   /* rows; 1 .. 30, from accumulator to output; NULL in the output layer */
    uint16_t rows;          /* outputs, padded to a multiple of 8; in the output layer 1 */
    uint16_t columns;       /* inputs, padded to a multiple of 2 */
    int16_t lowest;         /* smallest output: 0 with ReLU, INT16_MIN without */
} ouro_layer_t;

#define OURO_DENSE_PADDING 8U /* activation buffers hold a multiple of this, zero beyond a layer's activations */

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
