/* Frama-C Eva: the predictor with any two conductances, any budget, any wish and any state. What it promises, the
 * controller's analysis relies on. */
#include "__fc_builtin.h"
#include "ouro_contracts.h"

int main(void)
{
    ouro_pulse_t pulse;
    const int32_t g_start_nS = Frama_C_interval(INT32_MIN, INT32_MAX);
    const int32_t g_target_nS = Frama_C_interval(INT32_MIN, INT32_MAX);

    const uint32_t budget_ticks = (uint32_t)Frama_C_interval(INT32_MIN, INT32_MAX);

    const uint16_t wish_permille = (uint16_t)Frama_C_interval(0, UINT16_MAX);

    ouro_device_state_t state;

    state.log2_rate_q4 = (int8_t)Frama_C_interval(INT8_MIN, INT8_MAX);
    state.pulses = (uint8_t)Frama_C_interval(0, UINT8_MAX);
    (void)ouro_predict_precise(g_start_nS, g_target_nS, budget_ticks, wish_permille, &state, &pulse);
    (void)ouro_predict_precise(g_start_nS, g_target_nS, budget_ticks, wish_permille, &state, (ouro_pulse_t *)0);
    (void)ouro_predict_known(g_start_nS, g_target_nS, budget_ticks, &state, &pulse);
    (void)ouro_predict_known(g_start_nS, g_target_nS, budget_ticks, (ouro_device_state_t *)0, &pulse);
    (void)ouro_predict(g_start_nS, g_target_nS, &pulse);
    return 0;
}
