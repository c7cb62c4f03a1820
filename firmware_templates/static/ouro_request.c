#include "ouro_request.h"

#include <stddef.h>

ouro_request_t ouro_request_one_shot(uint16_t row, uint16_t column, int32_t g_target_nS)
{
    const ouro_request_t request = {.mode = OURO_ONE_SHOT,
                                    .row = row,
                                    .column = column,
                                    .g_target_nS = g_target_nS,
                                    .max_iterations = 1U,
                                    .budget_ticks = OURO_MAX_ticks};

    return request;
}

ouro_request_t ouro_request_write_verify(uint16_t row, uint16_t column, int32_t g_target_nS)
{
    const ouro_request_t request = {.mode = OURO_WRITE_VERIFY,
                                    .row = row,
                                    .column = column,
                                    .g_target_nS = g_target_nS,
                                    .tolerance_permille = OURO_DEFAULT_TOLERANCE_permille,
                                    .max_iterations = (uint16_t)OURO_LIMIT_ITERATIONS,
                                    .stuck_pulses = OURO_DEFAULT_STUCK_PULSES,
                                    .stuck_move_nS = OURO_DEFAULT_STUCK_MOVE_nS,
                                    .budget_ticks = OURO_MAX_ticks};

    return request;
}

/* Is the mode one that this network has? */
static bool is_mode(const ouro_request_t *r)
{
#if OURO_STATE_ROWS > 0U
    if (r->mode == OURO_CALIBRATE) {
        return r->state != NULL;
    }
#endif
    return (r->mode == OURO_ONE_SHOT) || (r->mode == OURO_WRITE_VERIFY);
}

ouro_status_t ouro_request_check(const ouro_request_t *request)
{
    const ouro_request_t *r = request;
    const bool mode_ok = is_mode(r);
    const bool tolerance_ok = (r->tolerance_nS >= 0) && (r->tolerance_permille <= 1000U);
    const bool iterations_ok = (r->max_iterations >= 1U) && (r->max_iterations <= (uint16_t)OURO_LIMIT_ITERATIONS);
    const bool stuck_ok = (r->stuck_move_nS >= 0) && (r->stuck_move_nS <= OURO_G_MAX_nS);
    const bool budget_ok = (r->budget_ticks >= (uint32_t)OURO_MIN_ticks) && (r->wish_permille <= 1000U);
    ouro_status_t status = OURO_OK;

    if (!mode_ok || !tolerance_ok || !iterations_ok || !stuck_ok || !budget_ok) {
        status = OURO_ERR_ARGUMENT;
    } else if ((r->g_target_nS < OURO_G_MIN_nS) || (r->g_target_nS > OURO_G_MAX_nS)) {
        status = OURO_ERR_TARGET_RANGE;
    } else {
        /* every field is in its range */
    }
    return status;
}

bool ouro_request_is_fixed_length(const ouro_request_t *request)
{
    return (request->tolerance_nS == 0) && (request->tolerance_permille == 0U);
}

bool ouro_request_is_on_target(const ouro_request_t *request, int32_t g_nS)
{
    const int64_t difference_nS = (int64_t)g_nS - request->g_target_nS;
    const int64_t off_nS = (difference_nS < 0) ? -difference_nS : difference_nS;
    const int64_t allowed = (int64_t)request->tolerance_permille * request->g_target_nS; /* 1/1000 nS */

    return !ouro_request_is_fixed_length(request) &&
           ((off_nS <= request->tolerance_nS) || ((off_nS * 1000) <= allowed));
}
