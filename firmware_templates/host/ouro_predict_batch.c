#include "ouro_predict_batch.h"

#include "ouro_predictor.h"

void ouro_predict_batch(size_t n, const int32_t *g_start_nS, const int32_t *g_target_nS, uint32_t budget_ticks,
                        int8_t *direction, uint32_t *width_ticks, int32_t *v_uV, int32_t *status)
{
    for (size_t i = 0U; i < n; i++) {
        ouro_pulse_t pulse;

        status[i] = (int32_t)ouro_predict_within(g_start_nS[i], g_target_nS[i], budget_ticks, &pulse);
        direction[i] = (int8_t)pulse.direction;
        width_ticks[i] = pulse.width_ticks;
        v_uV[i] = pulse.v_uV;
    }
}
