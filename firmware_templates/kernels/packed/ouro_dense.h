/* Fully connected layers in plain C: int16 activations, weights of 16, 12 or 8 bits, int32 accumulators. */
#ifndef OURO_DENSE_H
#define OURO_DENSE_H

#include <stdint.h>

/* Rows from x to y; x_end is the padded end. */
typedef void ouro_dense_form_t(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y,
                               const int16_t *y_end);

/* The forms of a layer: the width of its weights, whether its outputs pass a ReLU. */
ouro_dense_form_t ouro_dense_w16_relu, ouro_dense_w16_signed, ouro_dense_w12_relu, ouro_dense_w12_signed,
    ouro_dense_w8_relu, ouro_dense_w8_signed;

/* One layer y = W x + b. Row r has its own weight scale, undone by its own shift.
 *
 * The stream holds the rows one after the other: the bias, with the rounding addend 2**(shift - 1) in it; the weights,
 * two, four (w8) or 8/3 (w12) to a word, earlier columns in lower bits, zeros from the last column up to the padding;
 * the shift, 1 .. 30.
 *
 * The output layer's stream is its bias and its weights, of 16 bits, two columns to a word. */
typedef struct {
    const uint32_t *stream;
    ouro_dense_form_t *form; /* NULL in the output layer */
    uint16_t rows;           /* outputs */
    uint16_t columns;        /* inputs, padded: to a multiple of 2, 8 (w12) or 4 (w8) */
} ouro_layer_t;

#define OURO_DENSE_PADDING 8U /* activation buffers hold a multiple of this, zero beyond a layer's activations */

/* y[r] = sat16((bias[r] + sum_c weights[r][c] * x[c]) >> shift[r]), with ReLU not below 0. With the addend in the bias
 * the shift rounds as ouro_rshift_round does.
 *
 * x: activations within the interval the generator proved the accumulators for, zeros up to the padding.
 * y: the layer's activations, then zeros up to the padding; must not overlap x.
 * No accumulator overflows, in whichever order the terms are added: proven from the weights on generation. */
void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y);

/* The output layer's single accumulator, bias[0] + sum_c weights[0][c] * x[c]; -INT32_MAX .. INT32_MAX. */
int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x);

#endif
