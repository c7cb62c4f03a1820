#include "rig.h"

#include "ouro_device_state.h"
#include "ouro_controller.h"

/* Same layout as in ouro_lockstep.c: the rig reaches where no user may. */
struct lockstep_view {
    size_t n;
    ouro_hal_t *hals;
    ouro_controller_t *controllers;
};

static ouro_status_t scripted_status = OURO_OK;
static ouro_pulse_t scripted_pulse = {OURO_SET, 1000U, OURO_V_SET_uV};

void rig_script(int status, int direction, uint32_t ticks, int32_t lowered_uV)
{
    scripted_status = (ouro_status_t)status;
    scripted_pulse.direction = (ouro_direction_t)direction;
    scripted_pulse.width_ticks = ticks;
    scripted_pulse.v_uV = (direction == (int)OURO_SET) ? (OURO_V_SET_uV + lowered_uV) : (OURO_V_RESET_uV - lowered_uV);
}

ouro_status_t ouro_predict_precise(int32_t g_start_nS, int32_t g_target_nS, uint32_t budget_ticks,
                                   uint16_t wish_permille, const ouro_device_state_t *state, ouro_pulse_t *pulse)
{
    (void)state;
    (void)g_start_nS;
    (void)g_target_nS;
    (void)budget_ticks;
    (void)wish_permille;
    *pulse = scripted_pulse;
    return scripted_status;
}

/* Counts the pulses it is told of; the last direction takes the place of a rate. */
void ouro_device_state_update(ouro_device_state_t *state, int32_t g_before_nS, int32_t g_after_nS,
                              ouro_direction_t direction, uint32_t width_ticks)
{
    (void)g_before_nS;
    (void)g_after_nS;
    (void)width_ticks;
    state->log2_rate_q4 = (int8_t)direction;
    state->pulses++;
}

/* The scripted pulse, too. */
ouro_status_t ouro_calibration_pulse(const ouro_device_state_t *state, int32_t g_nS, ouro_pulse_t *pulse)
{
    (void)state;
    (void)g_nS;
    *pulse = scripted_pulse;
    return scripted_status;
}

void rig_damage(void *lockstep, size_t i, int field, int32_t value)
{
    ouro_controller_t *c = &((struct lockstep_view *)lockstep)->controllers[i];

    switch ((rig_field_t)field) {
    case RIG_STAGE:
        c->stage = (ouro_stage_t)value;
        break;
    case RIG_STAGE_PAIR:
        c->stage = (ouro_stage_t)value;
        c->stage_check = ~(uint32_t)value;
        break;
    case RIG_PULSE_TICKS:
        c->pulse.width_ticks = (uint32_t)value;
        break;
    case RIG_PULSE_DIRECTION:
        c->pulse.direction = (ouro_direction_t)value;
        break;
    case RIG_PULSE_V:
        c->pulse.v_uV = value;
        break;
    case RIG_V_REALLY:
        c->v_really_uV = value;
        break;
    case RIG_POLLS:
        c->polls = (uint32_t)value;
        break;
    case RIG_PULSES:
        c->result.pulses = (uint16_t)value;
        break;
    case RIG_STATUS:
        c->result.status = (ouro_status_t)value;
        break;
    case RIG_MAX_ITERATIONS:
        c->request.max_iterations = (uint16_t)value;
        break;
    }
}

unsigned rig_null_calls(void)
{
    ouro_controller_t unbound = {.hal = NULL};
    const ouro_request_t request = ouro_request_one_shot(0U, 0U, OURO_G_MIN_nS);
    unsigned answered = 0U;

    answered |= (ouro_controller_init(NULL, NULL) == OURO_ERR_NULL) ? 1U : 0U;
    answered |= (ouro_controller_init(&unbound, NULL) == OURO_ERR_NULL) ? 2U : 0U;
    answered |= (ouro_controller_start(NULL, &request) == OURO_ERR_NULL) ? 4U : 0U;
    answered |= (ouro_controller_start(&unbound, &request) == OURO_ERR_NULL) ? 8U : 0U;
    answered |= (ouro_controller_step(NULL) == OURO_ERR_NULL) ? 16U : 0U;
    answered |= (ouro_controller_step(&unbound) == OURO_ERR_NULL) ? 32U : 0U;
    answered |= (ouro_controller_abort(NULL) == OURO_ERR_NULL) ? 64U : 0U;
    answered |= (ouro_controller_abort(&unbound) == OURO_ERR_NULL) ? 128U : 0U;
    return answered;
}

int rig_start_null(void *lockstep, size_t i)
{
    return (int)ouro_controller_start(&((struct lockstep_view *)lockstep)->controllers[i], NULL);
}

unsigned rig_controller_size(void)
{
    return (unsigned)sizeof(ouro_controller_t);
}

int rig_check_default_requests(int32_t g_target_nS)
{
    const ouro_request_t one_shot = ouro_request_one_shot(1U, 2U, g_target_nS);
    const ouro_request_t write_verify = ouro_request_write_verify(1U, 2U, g_target_nS);
    const ouro_status_t status = ouro_request_check(&one_shot);

    return (int)((status == OURO_OK) ? ouro_request_check(&write_verify) : status);
}
