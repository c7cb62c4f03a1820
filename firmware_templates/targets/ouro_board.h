/*
 * What a board's hal.c provides: its peripherals behind the shape of ouro_hal.h, two serial lines, a watchdog.
 *
 * ouro_target_hal.c turns these into ouro_hal.h and, for tests, can put a simulated bench in their place.
 * Rules, safe state and signs are those of ouro_hal.h; every call is bounded and returns at once. The controller's gate
 * has agreed to each pulse: `ticks` lies within the manifest's limits.
 */
#ifndef OURO_BOARD_H
#define OURO_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "ouro_hal.h"

typedef enum {
    BOARD_HOST_LINE = 0, /* commands and replies */
    BOARD_BENCH_LINE = 1 /* the bench link; silent on a bench with a real array */
} board_line_t;

/* Clocks, pins, converters, timer, serial lines; ends in the safe state. */
void board_init(void);

/* Tell the watchdog that the main loop runs. */
void board_watchdog_kick(void);

/* A received byte, if there is one; a byte to send, if the line takes it now. */
bool board_line_receive(board_line_t line, uint8_t *byte);
bool board_line_send(board_line_t line, uint8_t byte);

bool board_select(uint16_t row, uint16_t column);
int32_t board_set_v(int32_t v_uV);
void board_settle_start(uint32_t us);
ouro_hal_progress_t board_settle_poll(void);
void board_read_start(int32_t v_read_uV, uint16_t n_avg);
ouro_hal_progress_t board_read_poll(ouro_reading_t *reading);
void board_pulse_start(ouro_direction_t direction, uint32_t ticks);
ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given);
void board_safe(void);

#endif
