/* Host only: a program that predicts what it reads, so that sanitizers can watch the firmware from its first
 * instruction. In: int32 pairs (g_start_nS, g_target_nS); out: int32 (status, direction, width_ticks, v_uV);
 * both in the machine's byte order. */
#include <stdint.h>
#include <stdio.h>

#include "ouro_predictor.h"

int main(void)
{
    int32_t pair[2];

    while (fread(pair, sizeof pair, 1U, stdin) == 1U) {
        ouro_pulse_t pulse;
        const ouro_status_t status = ouro_predict(pair[0], pair[1], &pulse);
        const int32_t found[4] = {(int32_t)status, (int32_t)pulse.direction, (int32_t)pulse.width_ticks, pulse.v_uV};

        if (fwrite(found, sizeof found, 1U, stdout) != 1U) {
            return 1;
        }
    }
    return (ferror(stdin) != 0) ? 1 : 0;
}
