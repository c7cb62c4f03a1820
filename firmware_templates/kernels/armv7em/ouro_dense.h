/* Fully connected layers for the dual multiply-accumulate of Cortex-M4 and M7: int16 weights times int16 activations,
 * int32 accumulators. Other compilers' targets read the same tables in plain C. */
#ifndef OURO_DENSE_H
#define OURO_DENSE_H

#include <stdint.h>

/* One layer y = W x + b. Row r has its own weight scale, undone by its own shift.
 *
 * The stream holds the rows two by two, in the order in which they are used: both biases, with the rounding addend
 * 2**(shift - 1) in them; the weights, eight columns of one row, then of the other, two to a word, the earlier column
 * in the lower half; both shifts, 1 .. 30, in the two lowest bytes of a word. A missing last row is zero. Columns are
 * padded with zeros to 8, or, beyond 8, to a multiple of 16. */
typedef struct {
    const uint32_t *stream;
    uint16_t rows;    /* outputs */
    uint16_t columns; /* inputs */
    int16_t lowest;   /* smallest output: 0 with ReLU, INT16_MIN without */
} ouro_layer_t;

#define OURO_DENSE_PADDING 16U /* activation buffers hold a multiple of this, zero beyond a layer's activations */

/* y[r] = sat16((bias[r] + sum_c weights[r][c] * x[c]) >> shift[r]), not below layer->lowest. With the addend in the
 * bias the shift rounds as ouro_rshift_round does.
 *
 * x: layer->columns activations within the interval the generator proved the accumulators for, zeros up to the
 * padding; word-aligned.
 * y: layer->rows activations, then zeros up to the padding; word-aligned; must not overlap x.
 * No accumulator overflows, in whichever order the terms are added: proven from the weights on generation. */
void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y);

/* The output layer's single accumulator, bias[0] + sum_c weights[0][c] * x[c]; -INT32_MAX .. INT32_MAX. */
int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x);

#endif
