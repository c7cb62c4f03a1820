#include "ouro_mailbox_hal.h"

#include <string.h>

#include "ouro_config.h"

#define DAC_HALF_RANGE (INT32_C(1) << (OURO_DAC_BITS - 1)) /* codes -DAC_HALF_RANGE .. DAC_HALF_RANGE - 1 */

static void require(ouro_hal_t *hal, bool kept, ouro_broken_rule_t rule)
{
    if (!kept) {
        hal->violations |= (unsigned)rule;
    }
}

/* Off as far as a DAC can be: its zero may be a step out. */
static bool is_off(const ouro_hal_t *hal)
{
    return (hal->v_uV <= OURO_DAC_LSB_uV) && (hal->v_uV >= -OURO_DAC_LSB_uV);
}

static void start(ouro_hal_t *hal, ouro_mailbox_operation_t operation)
{
    require(hal, hal->in_flight == MAILBOX_QUIET, OURO_BROKE_OVERLAP);
    hal->in_flight = operation;
    hal->served = (operation == MAILBOX_SETTLE); /* simulated time costs no waiting */
}

static ouro_hal_progress_t poll(ouro_hal_t *hal, ouro_mailbox_operation_t operation, ouro_fault_t fault)
{
    ouro_hal_progress_t progress = hal->served ? OURO_HAL_DONE : OURO_HAL_PENDING;

    require(hal, hal->in_flight == operation, OURO_BROKE_STRAY_POLL);
    if (hal->fault[fault] >= 0) {
        progress = (ouro_hal_progress_t)hal->fault[fault];
    }
    if (progress != OURO_HAL_PENDING) {
        hal->in_flight = MAILBOX_QUIET;
    }
    return progress;
}

/* The voltage a signed DAC gives for a request: nearest code, ties upwards, saturating; as in sim.bench. */
static int32_t dac_uV(int32_t v_uV)
{
    const int64_t shifted = (int64_t)v_uV + OURO_DAC_LSB_uV / 2;
    int64_t code = shifted / OURO_DAC_LSB_uV;

    if ((shifted % OURO_DAC_LSB_uV) < 0) {
        code--; /* C divides towards zero, the law rounds down */
    }
    if (code >= DAC_HALF_RANGE) {
        code = DAC_HALF_RANGE - 1;
    } else if (code < -DAC_HALF_RANGE) {
        code = -DAC_HALF_RANGE;
    }
    return (int32_t)code * OURO_DAC_LSB_uV;
}

void ouro_mailbox_init(ouro_hal_t *hal)
{
    memset(hal, 0, sizeof *hal);
    hal->rows = UINT32_C(1) << 16U;
    hal->columns = UINT32_C(1) << 16U;
    hal->fault[OURO_FAULT_SETTLE_ANSWER] = -1;
    hal->fault[OURO_FAULT_READ_ANSWER] = -1;
    hal->fault[OURO_FAULT_PULSE_ANSWER] = -1;
}

ouro_wait_t ouro_mailbox_wait(const ouro_hal_t *hal)
{
    if (hal->served || (hal->in_flight == MAILBOX_QUIET)) {
        return OURO_WAIT_NONE;
    }
    return (hal->in_flight == MAILBOX_READ) ? OURO_WAIT_READ : OURO_WAIT_PULSE;
}

void ouro_mailbox_serve_read(ouro_hal_t *hal, ouro_reading_t reading)
{
    hal->reading = reading;
    hal->served = true;
}

void ouro_mailbox_serve_pulse(ouro_hal_t *hal, uint32_t ticks_given)
{
    hal->ticks_given = ticks_given;
    hal->served = true;
}

bool ouro_mailbox_is_safe(const ouro_hal_t *hal)
{
    return (hal->v_uV == 0) && !hal->selected && (hal->in_flight == MAILBOX_QUIET);
}

/* ---- ouro_hal.h --------------------------------------------------------------------------------------- */

bool ouro_hal_select(ouro_hal_t *hal, uint16_t row, uint16_t column)
{
    require(hal, hal->in_flight == MAILBOX_QUIET, OURO_BROKE_OVERLAP);
    require(hal, is_off(hal), OURO_BROKE_STRAY_VOLTAGE);
    hal->row = row;
    hal->column = column;
    hal->selected = (hal->fault[OURO_FAULT_SELECT] == 0) && (row < hal->rows) && (column < hal->columns);
    return hal->selected;
}

int32_t ouro_hal_set_v(ouro_hal_t *hal, int32_t v_uV)
{
    require(hal, hal->in_flight == MAILBOX_QUIET, OURO_BROKE_OVERLAP);
    require(hal, (v_uV <= OURO_LIMIT_V_uV) && (v_uV >= -OURO_LIMIT_V_uV), OURO_BROKE_VOLTAGE_LIMIT);
    hal->v_uV = dac_uV(v_uV) + hal->fault[(v_uV == 0) ? OURO_FAULT_ZERO_uV : OURO_FAULT_VOLTAGE_uV];
    hal->v_uV += (v_uV / 1000) * hal->fault[OURO_FAULT_GAIN_permille];
    return hal->v_uV;
}

void ouro_hal_settle_start(ouro_hal_t *hal, uint32_t us)
{
    (void)us;
    start(hal, MAILBOX_SETTLE);
}

ouro_hal_progress_t ouro_hal_settle_poll(ouro_hal_t *hal)
{
    return poll(hal, MAILBOX_SETTLE, OURO_FAULT_SETTLE_ANSWER);
}

void ouro_hal_read_start(ouro_hal_t *hal, int32_t v_read_uV, uint16_t n_avg)
{
    (void)v_read_uV; /* the bench reads at its own board's voltage */
    (void)n_avg;
    require(hal, hal->selected, OURO_BROKE_NO_CELL);
    require(hal, is_off(hal), OURO_BROKE_STRAY_VOLTAGE);
    start(hal, MAILBOX_READ);
}

ouro_hal_progress_t ouro_hal_read_poll(ouro_hal_t *hal, ouro_reading_t *reading)
{
    *reading = hal->reading;
    return poll(hal, MAILBOX_READ, OURO_FAULT_READ_ANSWER);
}

void ouro_hal_pulse_start(ouro_hal_t *hal, ouro_direction_t direction, uint32_t ticks)
{
    const bool sign_fits =
        ((direction == OURO_SET) && (hal->v_uV < 0)) || ((direction == OURO_RESET) && (hal->v_uV > 0));

    require(hal, hal->selected, OURO_BROKE_NO_CELL);
    require(hal, sign_fits, OURO_BROKE_VOLTAGE_SIGN);
    require(hal, (hal->v_uV <= OURO_LIMIT_V_uV) && (hal->v_uV >= -OURO_LIMIT_V_uV), OURO_BROKE_VOLTAGE_LIMIT);
    require(hal, (ticks >= (uint32_t)OURO_MIN_ticks) && (ticks <= (uint32_t)OURO_LIMIT_PULSE_ticks),
            OURO_BROKE_WIDTH_LIMIT);
    hal->ticks = ticks;
    start(hal, MAILBOX_PULSE);
}

ouro_hal_progress_t ouro_hal_pulse_poll(ouro_hal_t *hal, uint32_t *ticks_given)
{
    *ticks_given = hal->ticks_given;
    return poll(hal, MAILBOX_PULSE, OURO_FAULT_PULSE_ANSWER);
}

void ouro_hal_safe(ouro_hal_t *hal)
{
    hal->in_flight = MAILBOX_QUIET;
    hal->v_uV = 0;
    hal->selected = false;
}
