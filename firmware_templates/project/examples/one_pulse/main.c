/* Reads a device, predicts the pulse to the middle of the trained window and gives it. */
#include "board.h"
#include "ouroboros.h"

int main(void)
{
    const int32_t g_target_nS = OURO_G_MIN_nS + (OURO_G_MAX_nS - OURO_G_MIN_nS) / 2;
    ouro_pulse_t pulse;
    const ouro_status_t status = ouro_predict(board_read_nS(), g_target_nS, &pulse);
    if (status == OURO_OK) {
        board_give_pulse(pulse.v_uV, pulse.width_ticks);
    }
    return status == OURO_OK || status == OURO_NO_PULSE_NEEDED ? 0 : 1;
}
