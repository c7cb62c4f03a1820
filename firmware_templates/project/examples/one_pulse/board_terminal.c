/* A board at a terminal: asks for the conductance, prints the pulse. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "board.h"
#include "ouroboros.h"

int32_t board_read_nS(void)
{
    char line[32];
    char *end = line;
    fputs("conductance now in nS: ", stderr);
    const long g_nS = fgets(line, sizeof line, stdin) != NULL ? strtol(line, &end, 10) : 0;
    if (end == line || (*end != '\n' && *end != '\0') || g_nS < 0 || g_nS > INT32_MAX) {
        fputs("error: type a conductance in nS, a whole number of 0 or more\n", stderr);
        exit(2);
    }
    return (int32_t)g_nS;
}

void board_give_pulse(int32_t v_uV, uint32_t width_ticks)
{
    printf("%" PRId32 " uV for %" PRIu32 " ticks of 1/%" PRIu32 " s\n", v_uV, width_ticks, OURO_TIMER_Hz);
}
