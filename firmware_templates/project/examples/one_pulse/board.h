/* What main.c needs from a board: fill in these two functions for yours. board_terminal.c does it for a terminal. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* The device's conductance now, in nS. */
int32_t board_read_nS(void);

/* One pulse of `width_ticks` / OURO_TIMER_Hz seconds at `v_uV` on the device; 0 V before and after it. */
void board_give_pulse(int32_t v_uV, uint32_t width_ticks);

#endif
