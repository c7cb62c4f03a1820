#include "ouro_pulse_gate.h"

#include <stdbool.h>

/* Any two values may come from damaged hardware: 64 bits keep the difference. */
static bool is_within(int64_t a, int64_t b, int64_t tolerance)
{
    const int64_t difference = a - b;

    return (difference <= tolerance) && (difference >= -tolerance);
}

static bool is_voltage_allowed(ouro_direction_t direction, int32_t v_uV)
{
    const bool set_ok = (direction == OURO_SET) && (v_uV < 0) && (v_uV >= -OURO_LIMIT_V_uV);
    const bool reset_ok = (direction == OURO_RESET) && (v_uV > 0) && (v_uV <= OURO_LIMIT_V_uV);

    return set_ok || reset_ok;
}

/* Does the predictor know this voltage? Anything else in the pulse is damage. */
static bool is_known(const ouro_pulse_t *pulse)
{
    const bool set = pulse->direction == OURO_SET;
    const int64_t lowered_uV = set ? ((int64_t)pulse->v_uV - OURO_V_SET_uV) : ((int64_t)OURO_V_RESET_uV - pulse->v_uV);
    const int64_t set_range_uV = (int64_t)OURO_V_SET_STEPS * OURO_V_SET_STEP_uV;
    const int64_t reset_range_uV = (int64_t)OURO_V_RESET_STEPS * OURO_V_RESET_STEP_uV;

    return (lowered_uV >= 0) && (lowered_uV <= (set ? set_range_uV : reset_range_uV));
}

ouro_status_t ouro_gate_check(const ouro_pulse_t *pulse, int32_t v_uV, uint16_t pulses_given)
{
    const uint32_t ticks = pulse->width_ticks;
    ouro_status_t status = OURO_OK;

    if (!is_known(pulse) || !is_within(v_uV, pulse->v_uV, OURO_V_TOLERANCE_uV)) {
        status = OURO_ERR_VOLTAGE;
    } else if (!is_voltage_allowed(pulse->direction, v_uV)) {
        status = OURO_ERR_LIMIT_VOLTAGE;
    } else if ((ticks < (uint32_t)OURO_MIN_ticks) || (ticks > (uint32_t)OURO_LIMIT_PULSE_ticks)) {
        status = OURO_ERR_LIMIT_WIDTH;
    } else if (pulses_given >= OURO_LIMIT_ITERATIONS) {
        status = OURO_ERR_LIMIT_PULSES;
    } else {
        /* allowed */
    }
    return status;
}

ouro_status_t ouro_gate_check_given(const ouro_pulse_t *pulse, uint32_t ticks_given, int32_t v_after_uV)
{
    const uint32_t asked = pulse->width_ticks;
    ouro_status_t status = OURO_OK;

    if (!is_within(v_after_uV, 0, OURO_V_TOLERANCE_uV)) {
        status = OURO_ERR_VOLTAGE;
    } else if (!is_within(ticks_given, asked, OURO_WIDTH_TOLERANCE(asked))) {
        status = OURO_ERR_PULSE_LENGTH;
    } else {
        /* as asked */
    }
    return status;
}
