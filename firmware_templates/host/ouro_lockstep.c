/* The instances of ouro_lockstep.h: controllers, and arrays in and out. */
#include "ouro_lockstep.h"

#include <stdlib.h>
#include <string.h>

#include "ouro_adc.h"
#include "ouro_controller.h"
#include "ouro_mailbox_hal.h"

#define COLUMNS 256U /* of the pretended array: cell i is (i / COLUMNS, i % COLUMNS) */

struct ouro_lockstep {
    size_t n;
    ouro_hal_t *hals;
    ouro_controller_t *controllers;
    ouro_device_state_t *states;
    bool has_states;
};

ouro_lockstep_t *ouro_lockstep_new(size_t n)
{
    ouro_lockstep_t *lockstep = calloc(1U, sizeof *lockstep);

    if (lockstep == NULL) {
        return NULL;
    }
    lockstep->n = n;
    lockstep->hals = calloc(n, sizeof *lockstep->hals);
    lockstep->controllers = calloc(n, sizeof *lockstep->controllers);
    lockstep->states = calloc(n, sizeof *lockstep->states);
    if ((lockstep->hals == NULL) || (lockstep->controllers == NULL) || (lockstep->states == NULL)) {
        ouro_lockstep_free(lockstep);
        return NULL;
    }
    for (size_t i = 0U; i < n; i++) {
        ouro_mailbox_init(&lockstep->hals[i]);
        (void)ouro_controller_init(&lockstep->controllers[i], &lockstep->hals[i]);
    }
    return lockstep;
}

void ouro_lockstep_free(ouro_lockstep_t *lockstep)
{
    if (lockstep != NULL) {
        free(lockstep->states);
        free(lockstep->controllers);
        free(lockstep->hals);
        free(lockstep);
    }
}

int ouro_lockstep_start(ouro_lockstep_t *lockstep, size_t i, int mode, int32_t g_target_nS, int32_t tolerance_nS,
                        uint16_t tolerance_permille, uint16_t max_iterations, uint16_t stuck_pulses,
                        int32_t stuck_move_nS, uint32_t budget_ticks, uint16_t wish_permille)
{
    const ouro_request_t request = {.mode = (ouro_mode_t)mode,
                                    .row = (uint16_t)(i / COLUMNS),
                                    .column = (uint16_t)(i % COLUMNS),
                                    .g_target_nS = g_target_nS,
                                    .tolerance_nS = tolerance_nS,
                                    .tolerance_permille = tolerance_permille,
                                    .max_iterations = max_iterations,
                                    .stuck_pulses = stuck_pulses,
                                    .stuck_move_nS = stuck_move_nS,
                                    .budget_ticks = budget_ticks,
                                    .wish_permille = wish_permille,
                                    .state = lockstep->has_states ? &lockstep->states[i] : NULL};

    return (int)ouro_controller_start(&lockstep->controllers[i], &request);
}

void ouro_lockstep_put_states(ouro_lockstep_t *lockstep, const int8_t *log2_rate_q4, const uint8_t *pulses)
{
    for (size_t i = 0U; i < lockstep->n; i++) {
        lockstep->states[i] = (ouro_device_state_t){.log2_rate_q4 = log2_rate_q4[i], .pulses = pulses[i]};
    }
    lockstep->has_states = true;
}

void ouro_lockstep_get_states(const ouro_lockstep_t *lockstep, int8_t *log2_rate_q4, uint8_t *pulses)
{
    for (size_t i = 0U; i < lockstep->n; i++) {
        log2_rate_q4[i] = lockstep->states[i].log2_rate_q4;
        pulses[i] = lockstep->states[i].pulses;
    }
}

int ouro_lockstep_step(ouro_lockstep_t *lockstep, size_t i)
{
    return (int)ouro_controller_step(&lockstep->controllers[i]);
}

int ouro_lockstep_abort(ouro_lockstep_t *lockstep, size_t i)
{
    return (int)ouro_controller_abort(&lockstep->controllers[i]);
}

int ouro_lockstep_init(ouro_lockstep_t *lockstep, size_t i)
{
    return (int)ouro_controller_init(&lockstep->controllers[i], &lockstep->hals[i]);
}

int ouro_lockstep_reset(ouro_lockstep_t *lockstep, size_t i)
{
    memset(&lockstep->controllers[i], 0xA5, sizeof lockstep->controllers[i]);
    return ouro_lockstep_init(lockstep, i);
}

size_t ouro_lockstep_step_all(ouro_lockstep_t *lockstep)
{
    size_t waiting = 0U;

    for (size_t i = 0U; i < lockstep->n; i++) {
        ouro_controller_t *controller = &lockstep->controllers[i];
        const ouro_hal_t *hal = &lockstep->hals[i];

        while ((controller->result.status == OURO_BUSY) && (ouro_mailbox_wait(hal) == OURO_WAIT_NONE)) {
            (void)ouro_controller_step(controller);
        }
        waiting += (ouro_mailbox_wait(hal) != OURO_WAIT_NONE) ? 1U : 0U;
    }
    return waiting;
}

size_t ouro_lockstep_waiting(const ouro_lockstep_t *lockstep, int wait, int64_t *index, int64_t *v_uV, int64_t *ticks)
{
    size_t count = 0U;

    for (size_t i = 0U; i < lockstep->n; i++) {
        const ouro_hal_t *hal = &lockstep->hals[i];

        if ((int)ouro_mailbox_wait(hal) == wait) {
            index[count] = (int64_t)i;
            v_uV[count] = hal->v_uV;
            ticks[count] = (int64_t)hal->ticks;
            count++;
        }
    }
    return count;
}

void ouro_lockstep_serve_reads(ouro_lockstep_t *lockstep, size_t count, const int64_t *index, const int64_t *code)
{
    for (size_t k = 0U; k < count; k++) {
        ouro_mailbox_serve_read(&lockstep->hals[index[k]], ouro_reading_from_code((uint32_t)code[k]));
    }
}

void ouro_lockstep_serve_pulses(ouro_lockstep_t *lockstep, size_t count, const int64_t *index,
                                const int64_t *ticks_given)
{
    for (size_t k = 0U; k < count; k++) {
        ouro_mailbox_serve_pulse(&lockstep->hals[index[k]], (uint32_t)ticks_given[k]);
    }
}

void ouro_lockstep_results(const ouro_lockstep_t *lockstep, int32_t *status, int32_t *stage, int32_t *iterations,
                           int32_t *pulses, int32_t *g_start_nS, int32_t *g_last_nS, int32_t *direction,
                           int64_t *last_ticks, int64_t *total_ticks)
{
    for (size_t i = 0U; i < lockstep->n; i++) {
        const ouro_result_t *result = &lockstep->controllers[i].result;

        status[i] = (int32_t)result->status;
        stage[i] = (int32_t)result->stage;
        iterations[i] = result->iterations;
        pulses[i] = result->pulses;
        g_start_nS[i] = result->g_start_nS;
        g_last_nS[i] = result->g_last_nS;
        direction[i] = (int32_t)result->last_pulse.direction;
        last_ticks[i] = (int64_t)result->last_pulse.width_ticks;
        total_ticks[i] = (int64_t)result->total_ticks;
    }
}

unsigned ouro_lockstep_violations(const ouro_lockstep_t *lockstep, size_t i)
{
    return lockstep->hals[i].violations;
}

int ouro_lockstep_is_safe(const ouro_lockstep_t *lockstep, size_t i)
{
    return ouro_mailbox_is_safe(&lockstep->hals[i]) ? 1 : 0;
}

void ouro_lockstep_inject(ouro_lockstep_t *lockstep, size_t i, int fault, int32_t value)
{
    lockstep->hals[i].fault[fault] = value;
}
