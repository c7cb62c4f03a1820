/* Test access: a scripted predictor, and ways to damage a controller's memory. cffi reads this as it stands. */
#ifndef RIG_H
#define RIG_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    RIG_STAGE = 0,      /* stage alone: its complement no longer fits */
    RIG_STAGE_PAIR = 1, /* stage with its complement: an unknown stage that looks intact */
    RIG_PULSE_TICKS = 2,
    RIG_PULSE_DIRECTION = 3,
    RIG_V_REALLY = 4,
    RIG_POLLS = 5,
    RIG_PULSES = 6,
    RIG_STATUS = 7,
    RIG_MAX_ITERATIONS = 8,
    RIG_PULSE_V = 9
} rig_field_t;

/* What ouro_predict_precise() answers from now on, its amplitude lowered from the full one. */
void rig_script(int status, int direction, uint32_t ticks, int32_t lowered_uV);

/* Overwrite a private field of instance i of an ouro_lockstep_t. */
void rig_damage(void *lockstep, size_t i, int field, int32_t value);

/* The public calls with null pointers and unbound instances: bit k is set when case k answered OURO_ERR_NULL. */
unsigned rig_null_calls(void);

/* Start instance i without a request. */
int rig_start_null(void *lockstep, size_t i);

/* Size of one controller in bytes, and the request constructors' answers to ouro_request_check(). */
unsigned rig_controller_size(void);
int rig_check_default_requests(int32_t g_target_nS);

#endif
