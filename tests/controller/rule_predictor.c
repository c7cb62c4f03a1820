/* A predictor by rule of thumb, so that lockstep can be tested without a network: one tick per 0.1 uS, plus two. It
 * promises 1 %, no less. */
#include "ouro_config.h"
#include "ouro_device_state.h"
#include "ouro_predictor.h"

/* Counts what it is told of. */
void ouro_device_state_update(ouro_device_state_t *state, int32_t g_before_nS, int32_t g_after_nS,
                              ouro_direction_t direction, uint32_t width_ticks)
{
    (void)g_before_nS;
    (void)g_after_nS;
    (void)direction;
    (void)width_ticks;
    state->pulses++;
}

/* Always the same. */
ouro_status_t ouro_calibration_pulse(const ouro_device_state_t *state, int32_t g_nS, ouro_pulse_t *pulse)
{
    (void)state;
    (void)g_nS;
    *pulse = (ouro_pulse_t){.direction = OURO_SET, .width_ticks = 500U, .v_uV = OURO_V_SET_uV};
    return OURO_OK;
}

ouro_status_t ouro_predict_precise(int32_t g_start_nS, int32_t g_target_nS, uint32_t budget_ticks,
                                   uint16_t wish_permille, const ouro_device_state_t *state, ouro_pulse_t *pulse)
{
    const int32_t difference_nS = g_target_nS - g_start_nS;
    const int32_t distance_nS = (difference_nS < 0) ? -difference_nS : difference_nS;

    (void)budget_ticks;
    (void)state;
    pulse->direction = (difference_nS < 0) ? OURO_RESET : OURO_SET;
    pulse->v_uV = (difference_nS < 0) ? OURO_V_RESET_uV : OURO_V_SET_uV;
    pulse->width_ticks = (uint32_t)(distance_nS / 100 + 2);
    if (difference_nS == 0) {
        pulse->direction = OURO_NO_PULSE;
        pulse->width_ticks = 0U;
        pulse->v_uV = 0;
    }
    if (difference_nS == 0) {
        return OURO_NO_PULSE_NEEDED;
    }
    return ((wish_permille != 0U) && (wish_permille < 10U)) ? OURO_NOT_PROMISED : OURO_OK;
}
