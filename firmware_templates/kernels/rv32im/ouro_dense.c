#include "ouro_dense.h"

#include <stdbool.h>

#include "ouro_fixed.h"

#define ROWS 8U    /* at once: they share the load of an activation, and one pointer reaches the weights of all */
#define COLUMNS 2U /* at once: they share the steps of the pointers and the loop's branch */

/* Keeps compilers from loading the weights of the next column early, for which there are not enough registers. */
#if defined(__riscv)
#define END_OF_COLUMN __asm__ volatile("" ::: "memory")
#else
#define END_OF_COLUMN ((void)0)
#endif

/* Add the products of column c, of those at `at` and `w`, to the sums of all rows. Both factors are int16_t. */
#define ADD_COLUMN(c)                                                                                                  \
    do {                                                                                                               \
        const int32_t v = at[c];                                                                                       \
        const int16_t *const column = &w[ROWS * (c)];                                                                  \
                                                                                                                       \
        a0 += column[0] * v;                                                                                           \
        a1 += column[1] * v;                                                                                           \
        a2 += column[2] * v;                                                                                           \
        a3 += column[3] * v;                                                                                           \
        a4 += column[4] * v;                                                                                           \
        a5 += column[5] * v;                                                                                           \
        a6 += column[6] * v;                                                                                           \
        a7 += column[7] * v;                                                                                           \
        END_OF_COLUMN;                                                                                                 \
    } while (false)

void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    const int16_t *const x_end = &x[layer->columns];
    const int16_t *const y_end = &y[layer->rows];
    const int16_t *w = layer->weights;
    const int32_t *bias = layer->bias;
    const uint8_t *shift = layer->shift;
    const int32_t lowest = layer->lowest;

    for (; y < y_end; y += ROWS) {
        int32_t a0 = bias[0];
        int32_t a1 = bias[1];
        int32_t a2 = bias[2];
        int32_t a3 = bias[3];
        int32_t a4 = bias[4];
        int32_t a5 = bias[5];
        int32_t a6 = bias[6];
        int32_t a7 = bias[7];

        for (const int16_t *at = x; at < x_end; at += COLUMNS) {
            ADD_COLUMN(0U);
            ADD_COLUMN(1U);
            w += ROWS * COLUMNS;
        }
        y[0] = ouro_sat16(a0 >> shift[0], lowest);
        y[1] = ouro_sat16(a1 >> shift[1], lowest);
        y[2] = ouro_sat16(a2 >> shift[2], lowest);
        y[3] = ouro_sat16(a3 >> shift[3], lowest);
        y[4] = ouro_sat16(a4 >> shift[4], lowest);
        y[5] = ouro_sat16(a5 >> shift[5], lowest);
        y[6] = ouro_sat16(a6 >> shift[6], lowest);
        y[7] = ouro_sat16(a7 >> shift[7], lowest);
        bias += ROWS;
        shift += ROWS;
    }
}

int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x)
{
    int32_t acc = layer->bias[0];

    for (uint32_t c = 0U; c < layer->columns; c++) {
        acc += (int32_t)layer->weights[c] * (int32_t)x[c];
    }
    return acc;
}
