#include "ouro_parts.h"

#include "ouro_config.h"

#define HIGHEST_DAC_CODE ((int32_t)((UINT32_C(1) << OURO_DAC_BITS) - 1U))
#define CELLS_A_SIDE 64U
#define SELECTOR_ON 0x1000U

uint32_t ouro_dac_code(int32_t v_uV)
{
    const int32_t magnitude_uV = (v_uV < 0) ? -v_uV : v_uV;
    const int32_t code = (magnitude_uV + (OURO_DAC_LSB_uV / 2)) / OURO_DAC_LSB_uV;

    return (uint32_t)((code > HIGHEST_DAC_CODE) ? HIGHEST_DAC_CODE : code);
}

int32_t ouro_dac_v_uV(int32_t v_uV)
{
    const int32_t given_uV = (int32_t)ouro_dac_code(v_uV) * OURO_DAC_LSB_uV;

    return (v_uV < 0) ? -given_uV : given_uV;
}

void ouro_average_start(ouro_average_t *average, uint16_t n_avg)
{
    average->wanted = n_avg;
    average->taken = 0U;
    average->code_sum = 0U;
    average->is_saturated = false;
}

bool ouro_average_take(ouro_average_t *average, uint32_t code, ouro_reading_t *reading)
{
    average->is_saturated = average->is_saturated || (code == 0U) || (code >= (uint32_t)OURO_ADC_MAX_CODE);
    average->code_sum += code;
    average->taken++;
    if (average->taken < average->wanted) {
        return false;
    }

    const uint64_t scaled = (uint64_t)average->code_sum * (uint64_t)OURO_ADC_FULL_SCALE_nS;
    const uint64_t steps = (uint64_t)average->wanted << OURO_ADC_BITS;

    reading->g_nS = (int32_t)((scaled + (steps / 2U)) / steps);
    reading->saturated = average->is_saturated;
    return true;
}

uint32_t ouro_selector_word(uint16_t row, uint16_t column)
{
    if ((row >= CELLS_A_SIDE) || (column >= CELLS_A_SIDE)) {
        return 0U;
    }
    return SELECTOR_ON | ((uint32_t)column << 6U) | row;
}
