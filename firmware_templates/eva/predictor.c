/* Frama-C Eva: the predictor with any two conductances and any budget. What it promises, the controller's analysis
 * relies on. */
#include "__fc_builtin.h"
#include "ouro_contracts.h"

int main(void)
{
    ouro_pulse_t pulse;
    const int32_t g_start_nS = Frama_C_interval(INT32_MIN, INT32_MAX);
    const int32_t g_target_nS = Frama_C_interval(INT32_MIN, INT32_MAX);

    const uint32_t budget_ticks = (uint32_t)Frama_C_interval(INT32_MIN, INT32_MAX);

    (void)ouro_predict_within(g_start_nS, g_target_nS, budget_ticks, &pulse);
    (void)ouro_predict_within(g_start_nS, g_target_nS, budget_ticks, (ouro_pulse_t *)0);
    (void)ouro_predict(g_start_nS, g_target_nS, &pulse);
    return 0;
}
