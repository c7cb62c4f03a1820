#include "ouro_dense.h"

#include "ouro_fixed.h"

#if defined(__AVR__)

/* bias + sum of weights[c] * x[c]; columns is at least 1. The multiplier takes bytes: four products make one of
 * 16 bits, those of one signed factor carry their sign into the highest byte. 36 cycles a column. */
static int32_t accumulate(const OURO_FLASH int16_t *weights, const int16_t *x, uint16_t columns, int32_t bias)
{
    int32_t acc = bias;
    int16_t w;
    int16_t v;
    uint8_t zero;

    __asm__ volatile("clr %[zero]\n\t"
                     "1:\n\t"
                     "lpm %A[w], Z+\n\t"
                     "lpm %B[w], Z+\n\t"
                     "ld %A[v], X+\n\t"
                     "ld %B[v], X+\n\t"
                     "mul %A[w], %A[v]\n\t"
                     "add %A[acc], r0\n\t"
                     "adc %B[acc], r1\n\t"
                     "adc %C[acc], %[zero]\n\t"
                     "adc %D[acc], %[zero]\n\t"
                     "muls %B[w], %B[v]\n\t"
                     "add %C[acc], r0\n\t"
                     "adc %D[acc], r1\n\t"
                     "mulsu %B[w], %A[v]\n\t"
                     "sbc %D[acc], %[zero]\n\t"
                     "add %B[acc], r0\n\t"
                     "adc %C[acc], r1\n\t"
                     "adc %D[acc], %[zero]\n\t"
                     "mulsu %B[v], %A[w]\n\t"
                     "sbc %D[acc], %[zero]\n\t"
                     "add %B[acc], r0\n\t"
                     "adc %C[acc], r1\n\t"
                     "adc %D[acc], %[zero]\n\t"
                     "sbiw %[columns], 1\n\t"
                     "brne 1b\n\t"
                     "clr r1\n\t" /* 0 in compiled code */
                     : [acc] "+r"(acc), [weights] "+z"(weights), [x] "+x"(x), [columns] "+w"(columns), [w] "=&a"(w),
                       [v] "=&a"(v), [zero] "=&r"(zero)
                     :
                     : "r0", "memory");
    return acc;
}

#else

static int32_t accumulate(const int16_t *weights, const int16_t *x, uint16_t columns, int32_t bias)
{
    int32_t acc = bias;

    for (uint16_t c = 0U; c < columns; c++) {
        acc += (int32_t)weights[c] * (int32_t)x[c];
    }
    return acc;
}

#endif

void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    const uint16_t columns = layer->columns;
    const OURO_FLASH int16_t *weights = layer->weights;

    for (uint16_t r = 0U; r < layer->rows; r++) {
        y[r] = ouro_sat16(accumulate(weights, x, columns, layer->bias[r]) >> layer->shift[r], layer->lowest);
        weights += columns;
    }
}

int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x)
{
    return accumulate(layer->weights, x, layer->columns, layer->bias[0]);
}
