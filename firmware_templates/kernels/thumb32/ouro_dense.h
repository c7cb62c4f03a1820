/* Fully connected layers for Cortex-M0, M0+ and M3 where flash is cheaper than time: int16 activations, int16 weights
 * kept in words of their own, int32 accumulators. Other targets read the same tables in plain C. */
#ifndef OURO_DENSE_H
#define OURO_DENSE_H

#include <stdint.h>

/* Rows from x to y; x_end and y_end are the padded ends. */
typedef void ouro_dense_form_t(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y,
                               const int16_t *y_end);

/* The forms of a layer. Its inputs are never negative (after a ReLU) or may be (signed); so are its outputs. */
ouro_dense_form_t ouro_dense_w32_relu_to_relu, ouro_dense_w32_relu_to_signed, ouro_dense_w32_signed_to_relu,
    ouro_dense_w32_signed_to_signed;

/* One layer y = W x + b. Row r has its own weight scale, undone by its own shift.
 *
 * The stream holds the rows four by four, in the order in which they are used: the biases, with the rounding addend
 * 2**(shift - 1) in them; the weights column by column, a word each, four rows after each other; the shifts, 1 .. 30,
 * in the bytes of a word, the first row's lowest. Missing rows and columns are zero.
 *
 * The output layer's stream is its bias and its weights, of 16 bits, two columns to a word. */
typedef struct {
    const uint32_t *stream;
    ouro_dense_form_t *form; /* NULL in the output layer */
    uint16_t rows;           /* outputs, padded to a multiple of 4 */
    uint16_t columns;        /* inputs, padded: signed ones to a multiple of 2, others of 8; in the output layer of 2 */
} ouro_layer_t;

#define OURO_DENSE_PADDING 8U /* activation buffers hold a multiple of this, zero beyond a layer's activations */

/* y[r] = sat16((bias[r] + sum_c weights[r][c] * x[c]) >> shift[r]), with ReLU not below 0. With the addend in the bias
 * the shift rounds as ouro_rshift_round does.
 *
 * x: activations within the interval the generator proved the accumulators for, zeros up to the padding.
 * y: the layer's activations, then zeros up to the padding; must not overlap x.
 * No accumulator overflows: proven from the weights on generation. */
void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y);

/* The output layer's single accumulator, bias[0] + sum_c weights[0][c] * x[c]; -INT32_MAX .. INT32_MAX. */
int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x);

#endif
