/* The pulse controller: see ouro_controller.h for its use and docs/controller.md for its states. */
#include "ouro_controller.h"

#include <stddef.h>

#include "ouro_device_state.h"
#include "ouro_pulse_gate.h"

/* ---- stages ---------------------------------------------------------------------------------------- */

static uint32_t complement(ouro_stage_t stage)
{
    return ~(uint32_t)stage;
}

static void enter(ouro_controller_t *c, ouro_stage_t stage)
{
    c->stage = stage;
    c->stage_check = complement(stage);
    c->polls = OURO_POLL_BUDGET;
}

static bool is_intact(const ouro_controller_t *c)
{
    return c->stage_check == complement(c->stage);
}

/* The only way to an outcome: outputs safe first, then the books. */
static ouro_status_t finish(ouro_controller_t *c, ouro_status_t status)
{
    ouro_hal_safe(c->hal);
    c->result.stage = c->stage;
    c->result.status = status;
    enter(c, OURO_STAGE_IDLE);
    return status;
}

/* The outcome where no reading judges the pulses: what was not promised of them is not passed over. */
static ouro_status_t unjudged(const ouro_controller_t *c)
{
    return c->result.is_unpromised ? OURO_NOT_PROMISED : OURO_OK;
}

/* OURO_OK when the operation is done, OURO_BUSY while it may still be, else the error. */
static ouro_status_t judge_poll(ouro_controller_t *c, ouro_hal_progress_t progress)
{
    ouro_status_t status = OURO_ERR_HAL;

    if (progress == OURO_HAL_DONE) {
        status = OURO_OK;
    } else if (progress == OURO_HAL_PENDING) {
        c->polls = (c->polls > 0U) ? (c->polls - 1U) : 0U;
        status = (c->polls == 0U) ? OURO_ERR_TIMEOUT : OURO_BUSY;
    } else {
        /* it failed, or answered what is no answer */
    }
    return status;
}

/* ---- pulses -------------------------------------------------------------------------------------------- */

/* Prepare the voltage of c->pulse; the pulse starts once it has settled. */
static ouro_status_t prepare_pulse(ouro_controller_t *c)
{
    ouro_status_t status = ouro_gate_check(&c->pulse, c->pulse.v_uV, c->result.pulses);

    if (status == OURO_OK) {
        c->v_really_uV = ouro_hal_set_v(c->hal, c->pulse.v_uV);
        status = ouro_gate_check(&c->pulse, c->v_really_uV, c->result.pulses);
    }
    if (status == OURO_OK) {
        ouro_hal_settle_start(c->hal, (uint32_t)OURO_SETTLE_us);
        enter(c, OURO_STAGE_SETTLE_PULSE);
        status = OURO_BUSY;
    }
    return status;
}

static ouro_status_t start_pulse(ouro_controller_t *c)
{
    ouro_status_t status = ouro_gate_check(&c->pulse, c->v_really_uV, c->result.pulses);

    if (status == OURO_OK) {
        c->result.pulses++;
        c->result.last_pulse.direction = c->pulse.direction;
        c->result.last_pulse.v_uV = c->v_really_uV;
        c->result.last_pulse.width_ticks = 0U;
        ouro_hal_pulse_start(c->hal, c->pulse.direction, c->pulse.width_ticks);
        enter(c, OURO_STAGE_PULSE);
        status = OURO_BUSY;
    }
    return status;
}

/* ---- reading and judging ---------------------------------------------------------------------------- */

static ouro_status_t await_cell(ouro_controller_t *c)
{
    ouro_hal_settle_start(c->hal, (uint32_t)OURO_SETTLE_us);
    enter(c, OURO_STAGE_SETTLE_CELL);
    return OURO_BUSY;
}

/* Count pulses without effect; true when the device has to be given up. */
static bool is_stuck(ouro_controller_t *c, int32_t g_nS)
{
    const ouro_request_t *request = &c->request;
    const int64_t wanted_nS = (int64_t)request->g_target_nS - c->g_before_nS;
    const int64_t moved_nS = (int64_t)g_nS - c->g_before_nS;
    const int64_t sign = (c->pulse.direction == OURO_SET) ? 1 : -1;
    const bool tells =
        (c->pulse.direction != OURO_NO_PULSE) && ((sign * wanted_nS) >= (2 * (int64_t)request->stuck_move_nS));

    if (tells) {
        c->stuck_count = ((sign * moved_nS) < request->stuck_move_nS) ? (uint16_t)(c->stuck_count + 1U) : 0U;
    }
    return (request->stuck_pulses != 0U) && (c->stuck_count >= request->stuck_pulses);
}

/* What the last pulse revealed of the device. */
static void learn(const ouro_controller_t *c, int32_t g_nS)
{
    if ((c->request.state != NULL) && (c->pulse.direction != OURO_NO_PULSE)) {
        ouro_device_state_update(c->request.state, c->g_before_nS, g_nS, c->pulse.direction,
                                 c->result.last_pulse.width_ticks);
    }
}

/* Is the cell read after a pulse? To verify, or to learn. */
static bool reads_after_pulse(const ouro_request_t *request)
{
#if OURO_STATE_ROWS > 0U
    return (request->mode != OURO_ONE_SHOT) || (request->state != NULL);
#else
    return request->mode == OURO_WRITE_VERIFY;
#endif
}

/* Without verifying: OURO_OK once every pulse is given and learned from. */
static ouro_status_t judge_unverified(const ouro_controller_t *c)
{
#if OURO_STATE_ROWS > 0U
    const uint16_t wanted = (c->request.mode == OURO_CALIBRATE) ? c->request.max_iterations : 1U;

    return (c->result.iterations >= wanted) ? unjudged(c) : OURO_BUSY;
#else
    (void)c;
    return OURO_BUSY; /* the reading before the one pulse */
#endif
}

/* Is the work finished with reading `g_nS`? OURO_BUSY when it is not. */
static ouro_status_t judge_reading(ouro_controller_t *c, int32_t g_nS)
{
    const ouro_request_t *request = &c->request;
    ouro_status_t status = OURO_BUSY;

    if (request->mode != OURO_WRITE_VERIFY) {
        status = judge_unverified(c);
    } else if (ouro_request_is_on_target(request, g_nS)) {
        status = OURO_CONVERGED;
    } else if (is_stuck(c, g_nS)) {
        status = OURO_ERR_STUCK;
    } else if (c->result.iterations >= request->max_iterations) {
        status = ouro_request_is_fixed_length(request) ? unjudged(c) : OURO_ERR_NOT_CONVERGED;
    } else {
        /* go on */
    }
    return status;
}

/* The pulse to give from reading `g_nS`, into c->pulse. */
static ouro_status_t choose_pulse(ouro_controller_t *c, int32_t g_nS)
{
    const ouro_request_t *r = &c->request;

#if OURO_STATE_ROWS > 0U
    if (r->mode == OURO_CALIBRATE) {
        const ouro_status_t status = ouro_calibration_pulse(r->state, g_nS, &c->pulse); /* an error without a state */

        if (c->pulse.width_ticks > r->budget_ticks) {
            c->pulse.width_ticks = r->budget_ticks;
        }
        return status;
    }
#endif
    return ouro_predict_precise(g_nS, r->g_target_nS, r->budget_ticks, r->wish_permille, r->state, &c->pulse);
}

/* Choose the pulse from reading `g_nS` and prepare it. */
static ouro_status_t predict(ouro_controller_t *c, int32_t g_nS)
{
    ouro_status_t status = choose_pulse(c, g_nS);

    c->g_before_nS = g_nS;
    c->result.iterations++;
    if (status == OURO_NOT_PROMISED) {
        c->result.is_unpromised = true;
        status = OURO_OK;
    }
    if (status == OURO_OK) {
        status = prepare_pulse(c);
    } else if ((status == OURO_NO_PULSE_NEEDED) && (c->request.mode == OURO_WRITE_VERIFY)) {
        /* Noise may make the next reading ask for a pulse; the iteration counts, so this ends too. */
        status = await_cell(c);
    } else {
        /* the predictor's status is the outcome */
    }
    return status;
}

/* ---- one function per stage: OURO_BUSY to go on, anything else is the outcome ----------------------- */

static ouro_status_t run_select(ouro_controller_t *c)
{
    const bool selected = ouro_hal_select(c->hal, c->request.row, c->request.column);

    return selected ? await_cell(c) : OURO_ERR_SELECT;
}

static ouro_status_t run_settle_cell(ouro_controller_t *c)
{
    ouro_status_t status = judge_poll(c, ouro_hal_settle_poll(c->hal));

    if (status == OURO_OK) {
        ouro_hal_read_start(c->hal, OURO_V_READ_uV, OURO_READ_AVERAGE);
        enter(c, OURO_STAGE_READ);
        status = OURO_BUSY;
    }
    return status;
}

static ouro_status_t run_read(ouro_controller_t *c)
{
    ouro_status_t status = judge_poll(c, ouro_hal_read_poll(c->hal, &c->reading));

    if (status == OURO_OK) {
        enter(c, OURO_STAGE_DECIDE);
        status = OURO_BUSY;
    }
    return status;
}

static ouro_status_t run_decide(ouro_controller_t *c)
{
    const int32_t g_nS = c->reading.g_nS;
    ouro_status_t status = OURO_ERR_READ_SATURATED;

    c->result.g_last_nS = g_nS;
    if (c->result.iterations == 0U) {
        c->result.g_start_nS = g_nS;
    }
    if (!c->reading.saturated) {
        learn(c, g_nS);
        status = judge_reading(c, g_nS);
    }
    if (status == OURO_BUSY) {
        status = predict(c, g_nS);
    }
    return status;
}

static ouro_status_t run_settle_pulse(ouro_controller_t *c)
{
    const ouro_status_t status = judge_poll(c, ouro_hal_settle_poll(c->hal));

    return (status == OURO_OK) ? start_pulse(c) : status;
}

static ouro_status_t run_pulse(ouro_controller_t *c)
{
    uint32_t given = 0U;
    ouro_status_t status = judge_poll(c, ouro_hal_pulse_poll(c->hal, &given));

    if (status == OURO_OK) {
        /* The driver's voltage goes before anything else is looked at. */
        const int32_t v_uV = ouro_hal_set_v(c->hal, 0);

        c->result.last_pulse.width_ticks = given;
        c->result.total_ticks += given;
        status = ouro_gate_check_given(&c->pulse, given, v_uV);
        if (status == OURO_OK) {
            status = reads_after_pulse(&c->request) ? await_cell(c) : unjudged(c);
        }
    }
    return status;
}

static ouro_status_t run_stage(ouro_controller_t *c)
{
    ouro_status_t status = OURO_ERR_CORRUPT;

    switch (c->stage) {
    case OURO_STAGE_SELECT:
        status = run_select(c);
        break;
    case OURO_STAGE_SETTLE_CELL:
        status = run_settle_cell(c);
        break;
    case OURO_STAGE_READ:
        status = run_read(c);
        break;
    case OURO_STAGE_DECIDE:
        status = run_decide(c);
        break;
    case OURO_STAGE_SETTLE_PULSE:
        status = run_settle_pulse(c);
        break;
    case OURO_STAGE_PULSE:
        status = run_pulse(c);
        break;
    case OURO_STAGE_IDLE:
    default:
        break; /* no such stage while under way */
    }
    return status;
}

/* ---- public ------------------------------------------------------------------------------------------ */

static ouro_result_t blank_result(ouro_status_t status)
{
    const ouro_result_t blank = {.status = status, .g_start_nS = -1, .g_last_nS = -1};

    return blank;
}

ouro_status_t ouro_controller_init(ouro_controller_t *controller, ouro_hal_t *hal)
{
    if ((controller == NULL) || (hal == NULL)) {
        return OURO_ERR_NULL;
    }
    *controller = (ouro_controller_t){.hal = hal, .result = blank_result(OURO_IDLE)};
    ouro_hal_safe(hal);
    enter(controller, OURO_STAGE_IDLE);
    return OURO_IDLE;
}

ouro_status_t ouro_controller_start(ouro_controller_t *controller, const ouro_request_t *request)
{
    ouro_status_t status;

    if ((controller == NULL) || (controller->hal == NULL)) {
        return OURO_ERR_NULL;
    }
    if (!is_intact(controller)) {
        status = OURO_ERR_CORRUPT;
    } else if (controller->stage != OURO_STAGE_IDLE) {
        status = OURO_ERR_STATE;
    } else {
        controller->result = blank_result(OURO_BUSY);
        status = (request == NULL) ? OURO_ERR_NULL : ouro_request_check(request);
    }
    if (status != OURO_OK) {
        return finish(controller, status);
    }
    controller->request = *request;
    controller->pulse.direction = OURO_NO_PULSE;
    controller->stuck_count = 0U;
    enter(controller, OURO_STAGE_SELECT);
    return OURO_BUSY;
}

ouro_status_t ouro_controller_step(ouro_controller_t *controller)
{
    ouro_status_t status;

    if ((controller == NULL) || (controller->hal == NULL)) {
        return OURO_ERR_NULL;
    }
    if (!is_intact(controller)) {
        status = finish(controller, OURO_ERR_CORRUPT);
    } else if ((controller->stage == OURO_STAGE_IDLE) && (controller->result.status != OURO_BUSY)) {
        status = controller->result.status; /* nothing under way */
    } else {
        status = run_stage(controller);
        controller->result.status = status;
        if (status != OURO_BUSY) {
            status = finish(controller, status);
        }
    }
    return status;
}

ouro_status_t ouro_controller_abort(ouro_controller_t *controller)
{
    if ((controller == NULL) || (controller->hal == NULL)) {
        return OURO_ERR_NULL;
    }
    if (!is_intact(controller)) {
        return finish(controller, OURO_ERR_CORRUPT);
    }
    if (controller->stage != OURO_STAGE_IDLE) {
        return finish(controller, OURO_ABORTED);
    }
    ouro_hal_safe(controller->hal);
    return controller->result.status;
}
