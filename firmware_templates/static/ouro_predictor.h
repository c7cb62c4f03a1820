/* The pulse predictor: from conductance now and target to one pulse. */
#ifndef OURO_PREDICTOR_H
#define OURO_PREDICTOR_H

#include <stdint.h>

#include "ouro_status.h"

/* Which way a pulse moves the device. */
typedef enum {
    OURO_RESET = -1,   /* positive voltage, conductance falls */
    OURO_NO_PULSE = 0, /* nothing to do */
    OURO_SET = 1       /* negative voltage, conductance grows */
} ouro_direction_t;

typedef struct {
    ouro_direction_t direction;
    uint32_t width_ticks; /* OURO_MIN_ticks .. OURO_MAX_ticks; 0 with OURO_NO_PULSE */
    int32_t v_uV;         /* at the device: SET negative, RESET positive; 0 with OURO_NO_PULSE */
} ouro_pulse_t;

/* What pulses have revealed of a device; ouro_device_state.h. All zero: nothing. */
typedef struct {
    int8_t log2_rate_q4; /* how much faster than the reference it moves, in 1/16 octave */
    uint8_t pulses;      /* how many have told, up to 255 */
} ouro_device_state_t;

/* Predict the pulse that takes a device from g_start_nS to g_target_nS.
 *
 * g_start_nS:  the conductance read out, in nS; outside the trained window it is clamped to it.
 * g_target_nS: the conductance wanted, in nS; OURO_G_MIN_nS .. OURO_G_MAX_nS.
 *
 * OURO_OK                *pulse is the pulse to give
 * OURO_NO_PULSE_NEEDED   start equals target, or the network says 0: *pulse is OURO_NO_PULSE, 0 ticks
 * OURO_ERR_TARGET_RANGE  target outside the window; *pulse is OURO_NO_PULSE, 0 ticks
 * OURO_ERR_NULL          pulse is NULL
 *
 * Any two int32_t are allowed. Reentrant; the activations take 4 * OURO_NETWORK_BUFFER_LENGTH bytes of stack. */
ouro_status_t ouro_predict(int32_t g_start_nS, int32_t g_target_nS, ouro_pulse_t *pulse);

/* As ouro_predict(), with a pulse of at most `budget_ticks`, OURO_MIN_ticks .. UINT32_MAX; beyond OURO_MAX_ticks there
 * is no difference. A network that knows several voltages (OURO_V_SET_STEPS > 0) gives the lowest whose pulse fits: the
 * longer pulse is the more precise one. That takes a dozen inferences.
 *
 * OURO_ERR_ARGUMENT      budget_ticks below OURO_MIN_ticks; *pulse is OURO_NO_PULSE, 0 ticks */
ouro_status_t ouro_predict_within(int32_t g_start_nS, int32_t g_target_nS, uint32_t budget_ticks, ouro_pulse_t *pulse);

/* As ouro_predict_within(), for a device of which `state` is known. A network that does not know its device
 * (OURO_NETWORK_KNOWS_DEVICE is 0) predicts the same for every state. `state` may not be NULL (OURO_ERR_NULL). */
ouro_status_t ouro_predict_known(int32_t g_start_nS, int32_t g_target_nS, uint32_t budget_ticks,
                                 const ouro_device_state_t *state, ouro_pulse_t *pulse);

/* As ouro_predict_known(), with a wish: the error to expect of the pulse, |G_end - G_target| / G_target averaged over
 * devices, is to be `wish_permille` at most, 1 .. 1000; 0 is no wish. A network that knows its error
 * (OURO_NETWORK_KNOWS_ERROR) and several voltages gives the highest voltage, hence the shortest pulse, that keeps the
 * wish. The budget comes first: where no pulse within it keeps the wish, *pulse is the one without a wish, and the
 * status says so. That takes up to 13 inferences. `state` may be NULL: nothing is known of the device.
 *
 * OURO_NOT_PROMISED      *pulse is the pulse to give; it does not keep the wish, or the network cannot tell
 * OURO_ERR_ARGUMENT      budget_ticks below OURO_MIN_ticks or wish_permille above 1000; *pulse is OURO_NO_PULSE */
ouro_status_t ouro_predict_precise(int32_t g_start_nS, int32_t g_target_nS, uint32_t budget_ticks,
                                   uint16_t wish_permille, const ouro_device_state_t *state, ouro_pulse_t *pulse);

#endif
