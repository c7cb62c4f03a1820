/* What the HALs of boards share: codes of the DAC, averages of the ADC's codes, the word of a selector. */
#ifndef OURO_PARTS_H
#define OURO_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "ouro_hal.h"

/* DAC code nearest to |v_uV|, at most the highest. */
uint32_t ouro_dac_code(int32_t v_uV);

/* The voltage that this code gives, with the sign of `v_uV`. */
int32_t ouro_dac_v_uV(int32_t v_uV);

/* Conversions of one reading. */
typedef struct {
    uint32_t wanted;
    uint32_t taken;
    uint32_t code_sum;
    bool is_saturated;
} ouro_average_t;

void ouro_average_start(ouro_average_t *average, uint16_t n_avg);

/* Take one code. True when it was the last: `*reading` is the average then, saturated if one code was. */
bool ouro_average_take(ouro_average_t *average, uint32_t code, ouro_reading_t *reading);

/*
 * Outputs that connect a cell of a 64 x 64 array: row in bits 0 - 5, column in bits 6 - 11, bit 12 enables the
 * selector. 0, nothing connected, when there is no such cell.
 */
uint32_t ouro_selector_word(uint16_t row, uint16_t column);

#endif
