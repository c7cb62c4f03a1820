#include "ouro_predict_batch.h"

#include "ouro_device_state.h"
#include "ouro_network.h"
#include "ouro_predictor.h"

void ouro_predict_batch(size_t n, const int32_t *g_start_nS, const int32_t *g_target_nS, uint32_t budget_ticks,
                        uint16_t wish_permille, int8_t *direction, uint32_t *width_ticks, int32_t *v_uV,
                        int32_t *status)
{
    for (size_t i = 0U; i < n; i++) {
        ouro_pulse_t pulse;

        status[i] =
            (int32_t)ouro_predict_precise(g_start_nS[i], g_target_nS[i], budget_ticks, wish_permille, NULL, &pulse);
        direction[i] = (int8_t)pulse.direction;
        width_ticks[i] = pulse.width_ticks;
        v_uV[i] = pulse.v_uV;
    }
}

void ouro_predict_known_batch(size_t n, const int32_t *g_start_nS, const int32_t *g_target_nS, uint32_t budget_ticks,
                              uint16_t wish_permille, const int8_t *log2_rate_q4, const uint8_t *pulses,
                              int8_t *direction, uint32_t *width_ticks, int32_t *v_uV, int32_t *status)
{
    for (size_t i = 0U; i < n; i++) {
        const ouro_device_state_t state = {.log2_rate_q4 = log2_rate_q4[i], .pulses = pulses[i]};
        ouro_pulse_t pulse;

        status[i] =
            (int32_t)ouro_predict_precise(g_start_nS[i], g_target_nS[i], budget_ticks, wish_permille, &state, &pulse);
        direction[i] = (int8_t)pulse.direction;
        width_ticks[i] = pulse.width_ticks;
        v_uV[i] = pulse.v_uV;
    }
}

int ouro_device_state_update_batch(size_t n, int8_t *log2_rate_q4, uint8_t *pulses, const int32_t *g_before_nS,
                                   const int32_t *g_after_nS, const int8_t *direction, const uint32_t *width_ticks)
{
    for (size_t i = 0U; i < n; i++) {
        ouro_device_state_t state = {.log2_rate_q4 = log2_rate_q4[i], .pulses = pulses[i]};

        ouro_device_state_update(&state, g_before_nS[i], g_after_nS[i], (ouro_direction_t)direction[i], width_ticks[i]);
        log2_rate_q4[i] = state.log2_rate_q4;
        pulses[i] = state.pulses;
    }
    return OURO_NETWORK_KNOWS_DEVICE;
}

int ouro_calibration_pulse_batch(size_t n, const int8_t *log2_rate_q4, const uint8_t *pulses, const int32_t *g_nS,
                                 int8_t *direction, uint32_t *width_ticks)
{
    for (size_t i = 0U; i < n; i++) {
        const ouro_device_state_t state = {.log2_rate_q4 = log2_rate_q4[i], .pulses = pulses[i]};
        ouro_pulse_t pulse;

        (void)ouro_calibration_pulse(&state, g_nS[i], &pulse);
        direction[i] = (int8_t)pulse.direction;
        width_ticks[i] = pulse.width_ticks;
    }
    return OURO_NETWORK_KNOWS_DEVICE;
}
