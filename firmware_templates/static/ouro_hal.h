/*
 * What the pulse controller needs from a board: implement these functions once per board and link them.
 *
 * Every call returns at once. Work that takes time (a read, a settling time, a pulse) is started by one call
 * and polled by another; the controller has at most one such operation in flight and bounds every wait.
 * Call everything from one context, or see that the calls do not overlap.
 *
 * Safe state: no voltage on any cell, no cell selected, nothing in flight. ouro_hal_safe() reaches it.
 * Sign convention: SET voltages are negative, RESET voltages positive.
 */
#ifndef OURO_HAL_H
#define OURO_HAL_H

#include <stdbool.h>
#include <stdint.h>

#include "ouro_predictor.h"

/* The board's own state (registers, channel, buffers): defined by the board, opaque to the controller. */
typedef struct ouro_hal ouro_hal_t;

/* Answer of every poll. The controller treats any other value as OURO_HAL_FAILED. */
typedef enum {
    OURO_HAL_PENDING = 0, /* still under way: poll again */
    OURO_HAL_DONE = 1,    /* finished: the output argument is valid */
    OURO_HAL_FAILED = 2   /* the hardware reported an error: the output argument is not valid */
} ouro_hal_progress_t;

/* One conductance reading. */
typedef struct {
    int32_t g_nS;   /* conductance in nS, not negative */
    bool saturated; /* the ADC was at either end of its range: g_nS is only a bound */
} ouro_reading_t;

/*
 * Connect cell (row, column) and disconnect every other one, with no voltage applied.
 * Returns false when the array has no such cell or the selector failed; nothing is selected then.
 */
bool ouro_hal_select(ouro_hal_t *hal, uint16_t row, uint16_t column);

/*
 * Prepare the pulse driver's voltage, in uV; it reaches the cell only between the start and the end of a
 * pulse. Returns the voltage really set in uV (DAC rounding, calibration, read-back where there is one).
 */
int32_t ouro_hal_set_v(ouro_hal_t *hal, int32_t v_uV);

/* Start waiting for `us` microseconds (selector and DAC settling). 0 is done at the first poll. */
void ouro_hal_settle_start(ouro_hal_t *hal, uint32_t us);

/* Poll the wait started last. */
ouro_hal_progress_t ouro_hal_settle_poll(ouro_hal_t *hal);

/*
 * Start reading the selected cell at `v_read_uV`, averaging `n_avg` (>= 1) conversions. The read voltage is
 * the HAL's to apply and to remove; the pulse driver's voltage is 0 when the controller calls this.
 */
void ouro_hal_read_start(ouro_hal_t *hal, int32_t v_read_uV, uint16_t n_avg);

/* Poll the read started last; on OURO_HAL_DONE `*reading` is the result and no read voltage remains. */
ouro_hal_progress_t ouro_hal_read_poll(ouro_hal_t *hal, ouro_reading_t *reading);

/*
 * Start one pulse of `ticks` timer ticks at the prepared voltage on the selected cell. `direction` is
 * OURO_SET or OURO_RESET, for boards that choose a driver by polarity. A timer must end the pulse even
 * when nobody polls; pulses longer than one timer period are the HAL's to split or to extend.
 */
void ouro_hal_pulse_start(ouro_hal_t *hal, ouro_direction_t direction, uint32_t ticks);

/* Poll the pulse started last; on OURO_HAL_DONE `*ticks_given` is the length it really had. */
ouro_hal_progress_t ouro_hal_pulse_poll(ouro_hal_t *hal, uint32_t *ticks_given);

/*
 * Reach the safe state from any state: end what is in flight, 0 V, no cell selected. It must not fail, may be
 * called at any time and any number of times. The controller calls it on every way out.
 */
void ouro_hal_safe(ouro_hal_t *hal);

#endif
