/*
 * Programs one memristor cell to a target conductance: read, predict, pulse; once or until verified.
 *
 * A non-blocking state machine over ouro_hal.h. Typical use:
 *
 *     ouro_controller_init(&controller, hal);
 *     request = ouro_request_write_verify(row, column, g_target_nS);
 *     status = ouro_controller_start(&controller, &request);
 *     while (status == OURO_BUSY) { status = ouro_controller_step(&controller); ... other work ... }
 *
 * Whatever the outcome, ouro_hal_safe() has been called before the status is returned. One instance drives one
 * HAL; instances are independent. Not reentrant: use an instance from one context.
 * docs/controller.md holds the state diagram and the table of statuses.
 */
#ifndef OURO_CONTROLLER_H
#define OURO_CONTROLLER_H

#include <stdint.h>

#include "ouro_config.h"
#include "ouro_hal.h"
#include "ouro_predictor.h"
#include "ouro_request.h"
#include "ouro_status.h"

/* Limits and times of the board that ouro_config.h may override. */
#ifndef OURO_READ_AVERAGE
#define OURO_READ_AVERAGE 1U /* conversions per reading */
#endif
#ifndef OURO_POLL_BUDGET
/* Polls per wait. A poll takes 0.1 us or more, so that no wait ends before OURO_TIMEOUT_us. */
#define OURO_POLL_BUDGET (10U * (uint32_t)OURO_TIMEOUT_us)
#ifndef __cplusplus /* has no _Static_assert; the C files that include this have checked it */
_Static_assert((uint32_t)OURO_TIMEOUT_us <= 400000000U, "the poll budget must fit 32 bits");
_Static_assert(((uint64_t)OURO_TIMEOUT_us * (uint64_t)OURO_TIMER_Hz) >
                   (UINT64_C(1000000) * (uint64_t)OURO_LIMIT_PULSE_ticks),
               "the longest pulse must end before a wait may");
#endif
#endif

/* The controller's states, in the order of one iteration. */
typedef enum {
    OURO_STAGE_IDLE = 0,     /* nothing to do: before a start and after an outcome */
    OURO_STAGE_SELECT,       /* about to connect the cell */
    OURO_STAGE_SETTLE_CELL,  /* no voltage; waiting before a read */
    OURO_STAGE_READ,         /* waiting for the reading */
    OURO_STAGE_DECIDE,       /* about to judge the reading and to predict a pulse */
    OURO_STAGE_SETTLE_PULSE, /* pulse voltage prepared; waiting for it to settle */
    OURO_STAGE_PULSE         /* waiting for the end of the pulse */
} ouro_stage_t;

/* What happened. Valid at any time after ouro_controller_init(); final once `status` is not OURO_BUSY. */
typedef struct {
    ouro_status_t status;
    ouro_stage_t stage;      /* where the outcome was reached, e.g. which wait timed out */
    uint16_t iterations;     /* predictions made */
    uint16_t pulses;         /* pulses started */
    bool is_unpromised;      /* a pulse was not promised to keep the request's wish */
    int32_t g_start_nS;      /* first reading; -1 before it */
    int32_t g_last_nS;       /* last reading; -1 before the first */
    ouro_pulse_t last_pulse; /* as given; width 0 when its length is unknown or no pulse was started */
    uint64_t total_ticks;    /* sum of the lengths really given */
} ouro_result_t;

/* One controller. Read `result`; everything else is private. */
typedef struct {
    ouro_result_t result;
    ouro_hal_t *hal;
    ouro_request_t request;
    ouro_stage_t stage;
    uint32_t stage_check;   /* complement of stage: tells a corrupted instance */
    uint32_t polls;         /* polls left in the present wait */
    ouro_pulse_t pulse;     /* the pulse being prepared or given */
    int32_t v_really_uV;    /* its voltage as the HAL set it */
    int32_t g_before_nS;    /* the reading it was predicted from */
    uint16_t stuck_count;   /* consecutive pulses without effect */
    ouro_reading_t reading; /* filled by the HAL */
} ouro_controller_t;

/*
 * Bind `controller` to `hal` and reach the safe state; also the way to recover after any error. A program
 * under way is dropped.
 * Returns OURO_IDLE, or OURO_ERR_NULL.
 */
ouro_status_t ouro_controller_init(ouro_controller_t *controller, ouro_hal_t *hal);

/*
 * Accept a request (copied) and begin; nothing is done on the cell before the first step.
 * Returns OURO_BUSY when accepted. Refused, with outputs safe and nothing under way:
 * OURO_ERR_NULL, OURO_ERR_ARGUMENT (a field out of the range given at ouro_request_t), OURO_ERR_TARGET_RANGE
 * (target outside the window), OURO_ERR_STATE (a program was under way: it is stopped as well, since it is
 * unclear which of the two the caller meant), OURO_ERR_CORRUPT (damaged or uninitialised instance).
 */
ouro_status_t ouro_controller_start(ouro_controller_t *controller, const ouro_request_t *request);

/*
 * Do one bounded piece of work: at most one operation started or polled, one prediction.
 * Returns OURO_BUSY while under way, OURO_IDLE before any start, and else the outcome, again at every
 * further call:
 *   OURO_OK                 one-shot: pulse given; write-and-verify with both tolerances 0, and calibration: all
 *                           iterations given
 *   OURO_NOT_PROMISED       as OURO_OK, but not every pulse was promised to keep the request's wish
 *   OURO_CONVERGED          write-and-verify: the last reading is on target
 *   OURO_NO_PULSE_NEEDED    one-shot: the predictor asks for no pulse
 *   OURO_ERR_NOT_CONVERGED  not on target after max_iterations
 *   OURO_ERR_SELECT, _READ_SATURATED, _STUCK, _LIMIT_VOLTAGE, _LIMIT_WIDTH, _LIMIT_PULSES, _VOLTAGE,
 *   _PULSE_LENGTH, _TIMEOUT, _HAL, _CORRUPT, _NULL,
 *   and any error of ouro_predict(): see ouro_status.h and docs/controller.md
 */
ouro_status_t ouro_controller_step(ouro_controller_t *controller);

/*
 * Stop now, from any state, outputs safe. Returns OURO_ABORTED when a program was under way, the status as
 * it was when none was, OURO_ERR_CORRUPT for a damaged instance, OURO_ERR_NULL.
 */
ouro_status_t ouro_controller_abort(ouro_controller_t *controller);

#endif
