/*
 * Frama-C Eva: the controller under any sequence of calls, with any requests, on hardware that does anything.
 *
 * The HAL keeps its own book, as the mailbox of the co-simulation does. Every pulse that starts is asserted to be
 * within the board's limits; so are the voltages asked for; and after every outcome the HAL is asserted to be safe.
 */
#include <stddef.h>

#include "__fc_builtin.h"
#include "ouro_contracts.h"
#include "ouro_controller.h"

struct ouro_hal {
    int32_t v_uV;
    bool is_selected;
    bool is_in_flight;
};

static int any_int(void)
{
    return Frama_C_interval(INT32_MIN, INT32_MAX);
}

bool ouro_hal_select(ouro_hal_t *hal, uint16_t row, uint16_t column)
{
    (void)row;
    (void)column;
    hal->is_selected = Frama_C_interval(0, 1) != 0;
    return hal->is_selected;
}

int32_t ouro_hal_set_v(ouro_hal_t *hal, int32_t v_uV)
{
    //@ assert voltage_limit: -OURO_LIMIT_V_uV <= v_uV <= OURO_LIMIT_V_uV;
    hal->v_uV = any_int();
    return hal->v_uV;
}

void ouro_hal_settle_start(ouro_hal_t *hal, uint32_t us)
{
    (void)us;
    hal->is_in_flight = true;
}

static ouro_hal_progress_t poll(ouro_hal_t *hal)
{
    const int answer = any_int();

    hal->is_in_flight = answer == (int)OURO_HAL_PENDING;
    return (ouro_hal_progress_t)answer;
}

ouro_hal_progress_t ouro_hal_settle_poll(ouro_hal_t *hal)
{
    return poll(hal);
}

void ouro_hal_read_start(ouro_hal_t *hal, int32_t v_read_uV, uint16_t n_avg)
{
    (void)v_read_uV;
    (void)n_avg;
    hal->is_in_flight = true;
}

ouro_hal_progress_t ouro_hal_read_poll(ouro_hal_t *hal, ouro_reading_t *reading)
{
    reading->g_nS = any_int();
    reading->saturated = Frama_C_interval(0, 1) != 0;
    return poll(hal);
}

void ouro_hal_pulse_start(ouro_hal_t *hal, ouro_direction_t direction, uint32_t ticks)
{
    //@ assert width_limit: OURO_MIN_ticks <= ticks <= OURO_LIMIT_PULSE_ticks;
    //@ assert a_direction: direction == OURO_SET || direction == OURO_RESET;
    hal->is_in_flight = true;
}

ouro_hal_progress_t ouro_hal_pulse_poll(ouro_hal_t *hal, uint32_t *ticks_given)
{
    *ticks_given = (uint32_t)any_int();
    return poll(hal);
}

void ouro_hal_safe(ouro_hal_t *hal)
{
    hal->v_uV = 0;
    hal->is_selected = false;
    hal->is_in_flight = false;
}

static ouro_request_t any_request(void)
{
    static ouro_device_state_t state;
    ouro_request_t request;

    request.mode = (ouro_mode_t)any_int();
    request.row = (uint16_t)any_int();
    request.column = (uint16_t)any_int();
    request.g_target_nS = any_int();
    request.tolerance_nS = any_int();
    request.tolerance_permille = (uint16_t)any_int();
    request.max_iterations = (uint16_t)any_int();
    request.stuck_pulses = (uint16_t)any_int();
    request.stuck_move_nS = any_int();
    state.log2_rate_q4 = (int8_t)any_int();
    state.pulses = (uint8_t)any_int();
    request.state = (Frama_C_interval(0, 1) != 0) ? &state : NULL;
    request.budget_ticks = (uint32_t)any_int();
    request.wish_permille = (uint16_t)any_int();
    return request;
}

/* Memory that changes by itself, but for pointers and for what notices the damage. */
static void damage(ouro_controller_t *controller)
{
    ouro_hal_t *const hal = controller->hal;
    const uint32_t stage_check = controller->stage_check;

    controller->request = any_request();
    controller->stage = (ouro_stage_t)any_int();
    controller->polls = (uint32_t)any_int();
    controller->pulse.direction = (ouro_direction_t)any_int();
    controller->pulse.width_ticks = (uint32_t)any_int();
    controller->pulse.v_uV = any_int();
    controller->v_really_uV = any_int();
    controller->g_before_nS = any_int();
    controller->stuck_count = (uint16_t)any_int();
    controller->reading.g_nS = any_int();
    controller->result.status = (ouro_status_t)any_int();
    controller->result.iterations = (uint16_t)any_int();
    controller->result.pulses = (uint16_t)any_int();
    controller->result.is_unpromised = Frama_C_interval(0, 1) != 0;
    controller->hal = hal;
    controller->stage_check = stage_check;
}

static void check_safe(const ouro_hal_t *hal)
{
    //@ assert outputs_safe: hal->v_uV == 0 && !hal->is_selected && !hal->is_in_flight;
}

/* One call, any of them; `controller` is zero until it is bound to `hal` for the first time. */
static void call(ouro_controller_t *controller, ouro_hal_t *hal)
{
    const ouro_request_t request = any_request();

    switch (Frama_C_interval(0, 5)) {
    case 0:
        (void)ouro_controller_init(controller, hal);
        check_safe(hal);
        break;
    case 1:
        if (ouro_controller_start(controller, (Frama_C_interval(0, 1) != 0) ? &request : NULL) != OURO_BUSY) {
            if (controller->hal != NULL) {
                check_safe(hal);
            }
        }
        break;
    case 2:
        if (controller->hal != NULL) {
            (void)ouro_controller_abort(controller);
            check_safe(hal);
        }
        break;
    case 3:
        damage(controller);
        break;
    case 4:
        if (controller->stage == OURO_STAGE_IDLE) {
            (void)ouro_controller_step(controller); /* nothing under way */
        } else if ((ouro_controller_step(controller) != OURO_BUSY) && (controller->hal != NULL)) {
            check_safe(hal);
        }
        break;
    default:
        (void)ouro_controller_init(NULL, hal);
        (void)ouro_controller_init(controller, NULL);
        (void)ouro_controller_start(NULL, &request);
        (void)ouro_controller_abort(NULL);
        (void)ouro_controller_step(NULL);
        break;
    }
}

int main(void)
{
    static ouro_hal_t hal;
    static ouro_controller_t controller;

    while (Frama_C_interval(0, 1) != 0) {
        call(&controller, &hal);
    }
    return 0;
}
