/* A look-up table in the place of the layers: log2(ticks) over start and change, bilinear between its nodes. Of its two
 * stages, named as the layers of a network, the first finds the place, the last one reads the value there. */
#ifndef OURO_DENSE_H
#define OURO_DENSE_H

#include <stdint.h>

#include "ouro_flash.h"

/* Nodes of an input, ascending, and 2**31 / width of each of the count - 1 cells between them, rounded down. */
typedef struct {
    const OURO_FLASH int16_t *nodes;
    const OURO_FLASH uint32_t *slopes;
    uint16_t count; /* 2 .. 128 */
} ouro_axis_t;

typedef struct {
    ouro_axis_t start;
    ouro_axis_t change;                       /* of either sign */
    const OURO_FLASH int16_t *log2_ticks_q10; /* pages RESET and SET, a row for every start, a value for every change */
} ouro_layer_t;

#define OURO_DENSE_PADDING 1U

/* Where x, the integer inputs start and change, lies: y[0] is the number of the node at the cell's lower ends, y[1] and
 * y[2] are the places between it and the next start and change, 0 .. 1024. */
void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y);

/* log2(ticks) in Q13 at the place x that ouro_dense() found; between the values of its four nodes. */
int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x);

#endif
