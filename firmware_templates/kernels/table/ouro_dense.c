#include "ouro_dense.h"

#include "ouro_fixed.h"

enum {
    VALUE_SCALE = 8 /* from Q10 to Q13 */
};

#define PLACE_BITS 10U
#define WHOLE_CELL 1024U
#define SLOPE_TO_PLACE 21U /* from 2**31 to 2**10 */
#define RISE_TO_Q13 7U     /* a difference in Q10 times a place is in Q20 */

/* The cell that a value lies in, by bisection, and its place there; beyond the axis it is the end's. */
static uint32_t place_on(const ouro_axis_t *axis, int32_t value, int16_t *place)
{
    const OURO_FLASH int16_t *nodes = axis->nodes;
    uint32_t left = 0U;
    uint32_t right = axis->count - UINT32_C(1);
    const int32_t inside = ouro_clamp(value, nodes[0], nodes[right]);

    while ((right - left) > 1U) {
        const uint32_t middle = (left + right) / 2U;

        if (inside < nodes[middle]) {
            right = middle;
        } else {
            left = middle;
        }
    }

    /* Not beyond the cell's width, so that the product is at most 2**31. */
    const uint32_t above = (uint32_t)(inside - nodes[left]);
    const uint32_t part = (above * axis->slopes[left]) >> SLOPE_TO_PLACE;

    *place = (int16_t)((part < WHOLE_CELL) ? part : WHOLE_CELL); /* never more; here for all to see */
    return left;
}

void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    const int32_t change = x[1];
    const uint32_t first_row = (change > 0) ? layer->start.count : 0U;
    const uint32_t row = first_row + place_on(&layer->start, x[0], &y[1]);
    const uint32_t column = place_on(&layer->change, (change < 0) ? -change : change, &y[2]);

    y[0] = (int16_t)((row * layer->change.count) + column);
}

/* Between a value and the next, in Q13. Values are at most 65534 apart and a place at most 1024: nothing overflows. */
static int32_t between(const OURO_FLASH int16_t *values, int32_t place)
{
    const int32_t left = values[0];
    const int32_t rise = values[1] - left;

    return (left * VALUE_SCALE) + ouro_rshift_round(rise * place, RISE_TO_Q13);
}

int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x)
{
    const OURO_FLASH int16_t *values = &layer->log2_ticks_q10[x[0]];
    const int32_t low = between(values, x[2]);
    const int32_t high = between(&values[layer->change.count], x[2]);

    return low + ouro_rshift_round((high - low) * (int32_t)x[1], PLACE_BITS);
}
