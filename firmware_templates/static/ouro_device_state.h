/* What a controller remembers of each device: two bytes, updated after every pulse; an array of 64 x 64 takes 8 KiB.
 *
 * For networks that see it (OURO_NETWORK_KNOWS_DEVICE). Keep one state per cell, zeroed for a device nothing is known
 * of, and over power cycles where you can. The controller predicts with the state of a request and keeps it up to date;
 * without the controller predict with ouro_predict_known(), then pulse, read, and call ouro_device_state_update().
 * codegen/device_state.py states the same arithmetic.
 */
#ifndef OURO_DEVICE_STATE_H
#define OURO_DEVICE_STATE_H

#include <stdint.h>

#include "ouro_predictor.h"

/* Learn from a pulse of `width_ticks` in `direction` between two readings. Nothing is learned without a pulse, nor for
 * a network that does not know its device. The controller does this for requests that have a state. */
void ouro_device_state_update(ouro_device_state_t *state, int32_t g_before_nS, int32_t g_after_nS,
                              ouro_direction_t direction, uint32_t width_ticks);

/* The pulse that reveals most of a device which reads as g_nS: across the middle of the window, almost to its end.
 * Three of them, each followed by a reading and an update, calibrate a device. Returns OURO_OK; OURO_NO_PULSE_NEEDED
 * for a network that does not know its device; OURO_ERR_NULL. */
ouro_status_t ouro_calibration_pulse(const ouro_device_state_t *state, int32_t g_nS, ouro_pulse_t *pulse);

#endif
