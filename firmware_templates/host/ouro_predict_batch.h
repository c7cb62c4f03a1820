/* Host only: many predictions in one call. Plain types only: cffi reads these declarations as they stand. */
#ifndef OURO_PREDICT_BATCH_H
#define OURO_PREDICT_BATCH_H

#include <stddef.h>
#include <stdint.h>

/* ouro_predict_within for n pairs; every array holds n. status holds ouro_status_t. */
void ouro_predict_batch(size_t n, const int32_t *g_start_nS, const int32_t *g_target_nS, uint32_t budget_ticks,
                        int8_t *direction, uint32_t *width_ticks, int32_t *v_uV, int32_t *status);

#endif
