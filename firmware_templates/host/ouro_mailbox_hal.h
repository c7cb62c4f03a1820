/* Host only: ouro_hal.h as a mailbox that a simulated bench serves, with a safety log and injectable faults. */
#ifndef OURO_MAILBOX_HAL_H
#define OURO_MAILBOX_HAL_H

#include <stdbool.h>
#include <stdint.h>

#include "ouro_hal.h"
#include "ouro_lockstep.h"

typedef enum { MAILBOX_QUIET = 0, MAILBOX_SETTLE, MAILBOX_READ, MAILBOX_PULSE } ouro_mailbox_operation_t;

struct ouro_hal {
    ouro_mailbox_operation_t in_flight;
    bool served; /* the bench has answered the operation in flight */
    bool selected;
    uint32_t rows; /* of the array: select fails beyond them */
    uint32_t columns;
    uint16_t row; /* of the cell selected last */
    uint16_t column;
    int32_t v_uV;   /* of the pulse driver */
    uint32_t ticks; /* of the pulse asked for */
    ouro_reading_t reading;
    uint32_t ticks_given;
    unsigned violations; /* ouro_broken_rule_t bits */
    int32_t fault[OURO_FAULTS];
};

/* A quiet, safe, faultless HAL of an array that has every cell there can be. */
void ouro_mailbox_init(ouro_hal_t *hal);

/* What the bench has to serve. */
ouro_wait_t ouro_mailbox_wait(const ouro_hal_t *hal);
void ouro_mailbox_serve_read(ouro_hal_t *hal, ouro_reading_t reading);
void ouro_mailbox_serve_pulse(ouro_hal_t *hal, uint32_t ticks_given);

/* 0 V, no cell selected, nothing in flight. */
bool ouro_mailbox_is_safe(const ouro_hal_t *hal);

#endif
