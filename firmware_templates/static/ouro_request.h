/* What the pulse controller is asked to do with one cell. */
#ifndef OURO_REQUEST_H
#define OURO_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "ouro_config.h"
#include "ouro_predictor.h"
#include "ouro_status.h"

/* What ouro_request_write_verify() asks for. */
#ifndef OURO_DEFAULT_TOLERANCE_permille
#define OURO_DEFAULT_TOLERANCE_permille 50U
#endif
#ifndef OURO_DEFAULT_STUCK_PULSES
#define OURO_DEFAULT_STUCK_PULSES 5U
#endif
#ifndef OURO_DEFAULT_STUCK_MOVE_nS
#define OURO_DEFAULT_STUCK_MOVE_nS 1000
#endif

/* The array whose devices are remembered; ouro_config.h says it for networks that know their devices. */
#ifndef OURO_STATE_ROWS
#define OURO_STATE_ROWS 0U
#endif
#ifndef OURO_STATE_COLUMNS
#define OURO_STATE_COLUMNS 0U
#endif

typedef enum {
    OURO_ONE_SHOT = 0,     /* one read, one pulse, done; one read more to learn from, when the request has a state */
    OURO_WRITE_VERIFY = 1, /* read, pulse, read ... until within tolerance or out of iterations */
    OURO_CALIBRATE = 2     /* max_iterations of the pulses that reveal most of the device, each followed by a read */
} ouro_mode_t;

/*
 * What to do. In OURO_WRITE_VERIFY a reading is on target when it is within `tolerance_nS` OR within
 * `tolerance_permille` of the target; with both 0 the controller never stops early and gives the full
 * number of iterations (for convergence measurements). OURO_ONE_SHOT ignores tolerances, iterations and
 * stuck-device settings.
 *
 * States belong to networks that know their device (OURO_STATE_ROWS is not 0): see ouro_device_state.h. Every pulse
 * that a reading follows is learned from. OURO_CALIBRATE needs a state and ignores target, tolerances and stuck-device
 * settings.
 *
 * A device counts as stuck after `stuck_pulses` consecutive pulses that moved the reading by less than
 * `stuck_move_nS` in the direction commanded. Pulses meant to move it by less than twice that are too
 * small to tell anything and are not counted.
 */
typedef struct {
    ouro_mode_t mode;
    uint16_t row;
    uint16_t column;
    int32_t g_target_nS;         /* OURO_G_MIN_nS .. OURO_G_MAX_nS */
    int32_t tolerance_nS;        /* >= 0 */
    uint16_t tolerance_permille; /* 0 .. 1000 */
    uint16_t max_iterations;     /* 1 .. OURO_LIMIT_ITERATIONS */
    uint16_t stuck_pulses;       /* 0: never give up on a device */
    int32_t stuck_move_nS;       /* 0 .. OURO_G_MAX_nS */
    uint32_t budget_ticks;       /* longest pulse, from OURO_MIN_ticks on; see ouro_predict_within() */
    uint16_t wish_permille;      /* expected error of a pulse, 0 .. 1000, 0: no wish; see ouro_predict_precise() */
    ouro_device_state_t *state;  /* what is known of the cell, kept up to date; NULL: nothing, and nothing is kept */
} ouro_request_t;

/* A one-shot request for cell (row, column) to `g_target_nS`; pulses of any length the timer has. */
ouro_request_t ouro_request_one_shot(uint16_t row, uint16_t column, int32_t g_target_nS);

/* A write-and-verify request with the board's default tolerance, iterations and stuck-device limits; pulses of any
 * length the timer has. */
ouro_request_t ouro_request_write_verify(uint16_t row, uint16_t column, int32_t g_target_nS);

/*
 * Is every field within its range?
 * Returns OURO_OK, OURO_ERR_ARGUMENT, or OURO_ERR_TARGET_RANGE for a target outside the window.
 */
ouro_status_t ouro_request_check(const ouro_request_t *request);

/* True for a write-and-verify request without tolerance: it always gives its full number of iterations. */
bool ouro_request_is_fixed_length(const ouro_request_t *request);

/* Does reading `g_nS` (any value) satisfy the request? Never for a request of fixed length. */
bool ouro_request_is_on_target(const ouro_request_t *request, int32_t g_nS);

#endif
