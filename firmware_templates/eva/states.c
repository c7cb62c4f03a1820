/* Frama-C Eva: what is learned of a device, and its calibration pulse, for any state, readings, direction and width. */
#include <stddef.h>

#include "__fc_builtin.h"
#include "ouro_config.h"
#include "ouro_device_state.h"

static int any_int(void)
{
    return Frama_C_interval(INT32_MIN, INT32_MAX);
}

int main(void)
{
    ouro_device_state_t state;
    ouro_pulse_t pulse;

    state.log2_rate_q4 = (int8_t)Frama_C_interval(INT8_MIN, INT8_MAX);
    state.pulses = (uint8_t)Frama_C_interval(0, UINT8_MAX);
    ouro_device_state_update(&state, any_int(), any_int(), (ouro_direction_t)any_int(), (uint32_t)any_int());
    ouro_device_state_update(NULL, any_int(), any_int(), OURO_SET, 1U);
    (void)ouro_calibration_pulse(&state, any_int(), &pulse);
    //@ assert pulse_width: OURO_MIN_ticks <= pulse.width_ticks <= OURO_MAX_ticks;
    //@ assert pulse_voltage: pulse.v_uV == OURO_V_SET_uV || pulse.v_uV == OURO_V_RESET_uV;
    (void)ouro_calibration_pulse(NULL, any_int(), &pulse);
    (void)ouro_calibration_pulse(&state, any_int(), NULL);
    return 0;
}
