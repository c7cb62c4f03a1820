/* Host only: many predictions in one call. Plain types only: cffi reads these declarations as they stand. */
#ifndef OURO_PREDICT_BATCH_H
#define OURO_PREDICT_BATCH_H

#include <stddef.h>
#include <stdint.h>

/* ouro_predict_precise for n pairs of unknown devices; every array holds n. status holds ouro_status_t. */
void ouro_predict_batch(size_t n, const int32_t *g_start_nS, const int32_t *g_target_nS, uint32_t budget_ticks,
                        uint16_t wish_permille, int8_t *direction, uint32_t *width_ticks, int32_t *v_uV,
                        int32_t *status);

/* ouro_predict_precise for n pairs and states; the state of pair i in log2_rate_q4[i] and pulses[i]. */
void ouro_predict_known_batch(size_t n, const int32_t *g_start_nS, const int32_t *g_target_nS, uint32_t budget_ticks,
                              uint16_t wish_permille, const int8_t *log2_rate_q4, const uint8_t *pulses,
                              int8_t *direction, uint32_t *width_ticks, int32_t *v_uV, int32_t *status);

/* ouro_device_state_update for n states, in place; returns 0 where the network does not know its device. */
int ouro_device_state_update_batch(size_t n, int8_t *log2_rate_q4, uint8_t *pulses, const int32_t *g_before_nS,
                                   const int32_t *g_after_nS, const int8_t *direction, const uint32_t *width_ticks);

/* ouro_calibration_pulse for n states and readings; returns 0 where the network does not know its device. */
int ouro_calibration_pulse_batch(size_t n, const int8_t *log2_rate_q4, const uint8_t *pulses, const int32_t *g_nS,
                                 int8_t *direction, uint32_t *width_ticks);

#endif
