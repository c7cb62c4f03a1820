/* A predictor by rule of thumb, so that lockstep can be tested without a network: one tick per 0.1 uS, plus two. */
#include "ouro_config.h"
#include "ouro_predictor.h"

ouro_status_t ouro_predict(int32_t g_start_nS, int32_t g_target_nS, ouro_pulse_t *pulse)
{
    const int32_t difference_nS = g_target_nS - g_start_nS;
    const int32_t distance_nS = (difference_nS < 0) ? -difference_nS : difference_nS;

    pulse->direction = (difference_nS < 0) ? OURO_RESET : OURO_SET;
    pulse->width_ticks = (uint32_t)(distance_nS / 100 + 2);
    if (difference_nS == 0) {
        pulse->direction = OURO_NO_PULSE;
        pulse->width_ticks = 0U;
    }
    return (difference_nS == 0) ? OURO_NO_PULSE_NEEDED : OURO_OK;
}
