/*
 * Contracts for Frama-C Eva, in ACSL.
 *
 * ouro_predict_precise(): checked by the analysis of the predictor, relied on by that of the controller. The HAL:
 * whatever a board could do, nonsense included: any voltage, any length, any reading, any answer of a poll.
 */
#ifndef OURO_CONTRACTS_H
#define OURO_CONTRACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "ouro_config.h"
#include "ouro_hal.h"
#include "ouro_predictor.h"

/* clang-format off */
/*@ requires pulse == \null || \valid(pulse);
  @ requires state == \null || \valid_read(state);
  @ assigns *pulse \from g_start_nS, g_target_nS, budget_ticks, wish_permille, indirect:state, *state;
  @ assigns \result \from g_start_nS, g_target_nS, budget_ticks, wish_permille, state, *state, pulse;
  @ ensures pulse == \null ==> \result == OURO_ERR_NULL;
  @ ensures pulse != \null ==>
  @   \result == OURO_OK || \result == OURO_NOT_PROMISED || \result == OURO_NO_PULSE_NEEDED ||
  @   \result == OURO_ERR_TARGET_RANGE || \result == OURO_ERR_ARGUMENT;
  @ ensures pulse != \null ==>
  @   \initialized(&pulse->direction) && \initialized(&pulse->width_ticks) && \initialized(&pulse->v_uV);
  @ ensures pulse != \null ==> OURO_RESET <= pulse->direction <= OURO_SET;
  @ ensures pulse != \null ==> pulse->width_ticks <= OURO_MAX_ticks;
  @ ensures pulse != \null ==> OURO_V_SET_uV <= pulse->v_uV <= OURO_V_RESET_uV;
  @ ensures (\result == OURO_OK || \result == OURO_NOT_PROMISED) ==> OURO_MIN_ticks <= pulse->width_ticks;
  @*/
/* clang-format on */
ouro_status_t ouro_predict_precise(int32_t g_start_nS, int32_t g_target_nS, uint32_t budget_ticks,
                                   uint16_t wish_permille, const ouro_device_state_t *state, ouro_pulse_t *pulse);

#endif
