/* Frama-C Eva: the predictor with any two conductances. What it promises, the controller's analysis relies on. */
#include "__fc_builtin.h"
#include "ouro_contracts.h"

int main(void)
{
    ouro_pulse_t pulse;
    const int32_t g_start_nS = Frama_C_interval(INT32_MIN, INT32_MAX);
    const int32_t g_target_nS = Frama_C_interval(INT32_MIN, INT32_MAX);

    (void)ouro_predict(g_start_nS, g_target_nS, &pulse);
    (void)ouro_predict(g_start_nS, g_target_nS, (ouro_pulse_t *)0);
    return 0;
}
