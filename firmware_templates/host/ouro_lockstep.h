/*
 * Host only: many pulse controllers in lockstep against one simulated bench.
 *
 * Each instance is the firmware's own controller on a mailbox HAL: read_start and pulse_start post a request,
 * the polls answer "pending" until the bench serves it. Step every instance until it waits or is finished, serve
 * all waiting ones in one vectorised call, repeat. Every HAL call is checked against the safety rules on the
 * way, independently of the controller.
 *
 * Plain types only: cffi reads the declarations of this file as they stand. Indices must be below the n of
 * ouro_lockstep_new.
 */
#ifndef OURO_LOCKSTEP_H
#define OURO_LOCKSTEP_H

#include <stddef.h>
#include <stdint.h>

typedef struct ouro_lockstep ouro_lockstep_t;

/* What an instance waits for. */
typedef enum { OURO_WAIT_NONE = 0, OURO_WAIT_READ = 1, OURO_WAIT_PULSE = 2 } ouro_wait_t;

/* Broken safety rules, as bits of ouro_lockstep_violations(). */
typedef enum {
    OURO_BROKE_NO_CELL = 1,        /* read or pulse without a selected cell */
    OURO_BROKE_OVERLAP = 2,        /* a call that needs a quiet HAL while an operation was in flight */
    OURO_BROKE_STRAY_POLL = 4,     /* polled what was not in flight */
    OURO_BROKE_STRAY_VOLTAGE = 8,  /* selected or read with more than one DAC step on the driver */
    OURO_BROKE_VOLTAGE_LIMIT = 16, /* voltage beyond the board's limit */
    OURO_BROKE_VOLTAGE_SIGN = 32,  /* pulse at zero volts or with the sign of the other direction */
    OURO_BROKE_WIDTH_LIMIT = 64    /* pulse shorter or longer than the board's limits */
} ouro_broken_rule_t;

/* Hardware faults to inject. Value 0 repairs, except where stated. */
typedef enum {
    OURO_FAULT_SELECT = 0,        /* not 0: select fails */
    OURO_FAULT_VOLTAGE_uV = 1,    /* added to every pulse voltage */
    OURO_FAULT_ZERO_uV = 2,       /* added when 0 V is asked for */
    OURO_FAULT_SETTLE_ANSWER = 3, /* answer of the settle poll; -1 repairs */
    OURO_FAULT_READ_ANSWER = 4,   /* answer of the read poll; -1 repairs */
    OURO_FAULT_PULSE_ANSWER = 5,  /* answer of the pulse poll; -1 repairs */
    OURO_FAULT_GAIN_permille = 6, /* of every pulse voltage, added to it */
    OURO_FAULTS = 7
} ouro_fault_t;

/* n controllers, initialised and idle; NULL when memory is short. */
ouro_lockstep_t *ouro_lockstep_new(size_t n);
void ouro_lockstep_free(ouro_lockstep_t *lockstep);

/* Start instance i; the fields are those of ouro_request_t. Returns the controller's status. */
int ouro_lockstep_start(ouro_lockstep_t *lockstep, size_t i, int mode, int32_t g_target_nS, int32_t tolerance_nS,
                        uint16_t tolerance_permille, uint16_t max_iterations, uint16_t stuck_pulses,
                        int32_t stuck_move_nS, uint32_t budget_ticks, uint16_t wish_permille);

/* Give every instance a state of its device (ouro_device_state_t), which it keeps up to date; before the start. */
void ouro_lockstep_put_states(ouro_lockstep_t *lockstep, const int8_t *log2_rate_q4, const uint8_t *pulses);

/* The states as they are now. */
void ouro_lockstep_get_states(const ouro_lockstep_t *lockstep, int8_t *log2_rate_q4, uint8_t *pulses);

/* One step of instance i, its abort, its re-initialisation. Each returns the controller's status. */
int ouro_lockstep_step(ouro_lockstep_t *lockstep, size_t i);
int ouro_lockstep_abort(ouro_lockstep_t *lockstep, size_t i);
int ouro_lockstep_init(ouro_lockstep_t *lockstep, size_t i);

/* Reset of instance i's processor: its memory is lost, what its hardware was doing goes on. Returns the status. */
int ouro_lockstep_reset(ouro_lockstep_t *lockstep, size_t i);

/* Step every instance until it waits for the bench or is finished. Returns how many wait. */
size_t ouro_lockstep_step_all(ouro_lockstep_t *lockstep);

/*
 * List the instances that wait for `wait`: their indices and, for pulses, the voltage in uV (as the DAC
 * really sets it) and the length in ticks. The arrays hold n. Returns how many there are.
 */
size_t ouro_lockstep_waiting(const ouro_lockstep_t *lockstep, int wait, int64_t *index, int64_t *v_uV, int64_t *ticks);

/* Answer `count` waiting reads with ADC codes, pulses with the ticks really given (0 .. UINT32_MAX). */
void ouro_lockstep_serve_reads(ouro_lockstep_t *lockstep, size_t count, const int64_t *index, const int64_t *code);
void ouro_lockstep_serve_pulses(ouro_lockstep_t *lockstep, size_t count, const int64_t *index,
                                const int64_t *ticks_given);

/* Fields of every instance's ouro_result_t; the arrays hold n. */
void ouro_lockstep_results(const ouro_lockstep_t *lockstep, int32_t *status, int32_t *stage, int32_t *iterations,
                           int32_t *pulses, int32_t *g_start_nS, int32_t *g_last_nS, int32_t *direction,
                           int64_t *last_ticks, int64_t *total_ticks);

/* Safety log of instance i: rules ever broken (ouro_broken_rule_t bits), safe now (0 V, no cell, nothing in flight). */
unsigned ouro_lockstep_violations(const ouro_lockstep_t *lockstep, size_t i);
int ouro_lockstep_is_safe(const ouro_lockstep_t *lockstep, size_t i);

/* Inject a fault (ouro_fault_t) into instance i's hardware. */
void ouro_lockstep_inject(ouro_lockstep_t *lockstep, size_t i, int fault, int32_t value);

#endif
