/*
 * From ADC codes to conductance: the one conversion that board HALs, the controller's tests and the
 * simulated bench share.
 */
#ifndef OURO_ADC_H
#define OURO_ADC_H

#include <stdbool.h>
#include <stdint.h>

#include "ouro_config.h"
#include "ouro_hal.h"

/*
 * Conductance in nS of an ADC code (0 .. OURO_ADC_MAX_CODE; larger codes read as the largest):
 * round half up of code * OURO_ADC_FULL_SCALE_nS / 2**OURO_ADC_BITS. Codes at either end of the range are
 * flagged as saturated: the conductance may lie anywhere beyond them.
 */
static inline ouro_reading_t ouro_reading_from_code(uint32_t code)
{
    const uint32_t max_code = (uint32_t)OURO_ADC_MAX_CODE;
    const uint32_t limited = (code > max_code) ? max_code : code;
    const uint64_t half = UINT64_C(1) << (OURO_ADC_BITS - 1);
    const uint64_t scaled = ((uint64_t)limited * (uint64_t)OURO_ADC_FULL_SCALE_nS + half) >> OURO_ADC_BITS;
    ouro_reading_t reading;

    reading.g_nS = (int32_t)scaled;
    reading.saturated = (limited == 0U) || (limited == max_code);
    return reading;
}

#endif
