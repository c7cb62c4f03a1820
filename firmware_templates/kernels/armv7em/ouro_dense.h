/* Fully connected layers for the dual multiply-accumulate of Cortex-M4 and M7: int16 activations, weights of 16, 12 or
 * 8 bits, int32 accumulators. Other compilers' targets read the same tables in plain C. */
#ifndef OURO_DENSE_H
#define OURO_DENSE_H

#include <stdint.h>

/* Rows from x to y; x_end and y_end are the padded ends. */
typedef void ouro_dense_form_t(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y,
                               const int16_t *y_end);

/* The forms of a layer: how its weights are kept, how many columns it has, whether its outputs pass a ReLU. */
ouro_dense_form_t ouro_dense_w16_narrow_relu, ouro_dense_w16_narrow_signed; /* 4 columns */
ouro_dense_form_t ouro_dense_w16_wide_relu, ouro_dense_w16_wide_signed;     /* a multiple of 16 */
ouro_dense_form_t ouro_dense_w12_relu, ouro_dense_w12_signed;               /* a multiple of 8 */
ouro_dense_form_t ouro_dense_w8_narrow_relu, ouro_dense_w8_narrow_signed;   /* 4 columns */
ouro_dense_form_t ouro_dense_w8_wide_relu, ouro_dense_w8_wide_signed;       /* a multiple of 16 */

/* One layer y = W x + b. Row r has its own weight scale, undone by its own shift. Biases have the rounding addend
 * 2**(shift - 1) in them; shifts are 1 .. 30. Missing rows and columns are zero.
 *
 * w16: the stream holds the rows two by two, in the order in which they are used: both biases; the weights, eight
 * columns (four if narrow) of one row, then of the other, two to a word, the earlier column in the lower half; both
 * shifts in the two lowest bytes of a word.
 *
 * w8: two by two as well: the second row's bias; the weights a of the first and b of the second row as
 * 256 * a + b, two columns to a word, the earlier one in the lower half; the first row's bias; the shift of the
 * second row in a word's lowest byte, of the first in the next.
 *
 * w12: row by row, ouro_dense_w12.c.
 *
 * The output layer's stream is its bias and its weights, of 16 bits, two columns to a word. */
typedef struct {
    const uint32_t *stream;
    ouro_dense_form_t *form; /* NULL in the output layer */
    uint16_t rows;           /* outputs, padded as the form needs it */
    uint16_t columns;        /* inputs, padded likewise; in the output layer to a multiple of 8 */
} ouro_layer_t;

#define OURO_DENSE_PADDING 16U /* activation buffers hold a multiple of this, zero beyond a layer's activations */

/* y[r] = sat16((bias[r] + sum_c weights[r][c] * x[c]) >> shift[r]), with ReLU not below 0. With the addend in the bias
 * the shift rounds as ouro_rshift_round does.
 *
 * x: activations within the interval the generator proved the accumulators for, zeros up to the padding; word-aligned.
 * y: the layer's activations, then zeros up to the padding; word-aligned; must not overlap x.
 * No accumulator overflows, in whichever order the terms are added: proven from the weights on generation. */
void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y);

/* The output layer's single accumulator, bias[0] + sum_c weights[0][c] * x[c]; -INT32_MAX .. INT32_MAX. */
int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x);

#endif
