/* Every outcome a firmware function can report. 0 .. 15: fine; from 16: an error; OURO_STATUS_IS_ERROR tells.
 *
 * The numbers are part of the interface (host tools print and store them): append, never renumber.
 */
#ifndef OURO_STATUS_H
#define OURO_STATUS_H

typedef enum {
    OURO_OK = 0,              /* done; results are valid */
    OURO_BUSY = 1,            /* state machine: call again */
    OURO_CONVERGED = 2,       /* write-and-verify: the read-out lies within the tolerance */
    OURO_NO_PULSE_NEEDED = 3, /* start and target are the same */
    OURO_IDLE = 4,            /* state machine: nothing was started yet */
    OURO_NOT_PROMISED = 5,    /* as OURO_OK, but the pulse's expected error is beyond the wish, or unknown */

    OURO_ERR_NULL = 16,           /* a required pointer is NULL */
    OURO_ERR_ARGUMENT = 17,       /* an argument lies outside its documented range */
    OURO_ERR_STATE = 18,          /* called in a state that does not allow it */
    OURO_ERR_TARGET_RANGE = 19,   /* the target lies outside the trained window */
    OURO_ERR_READ_SATURATED = 20, /* the ADC is at an end of its range: the read-out says nothing */
    OURO_ERR_STUCK = 21,          /* the device does not respond to pulses */
    OURO_ERR_NOT_CONVERGED = 22,  /* iterations used up, target not reached */
    OURO_ERR_LIMIT_VOLTAGE = 23,  /* a pulse would exceed the board's voltage limit; not given */
    OURO_ERR_LIMIT_WIDTH = 24,    /* a pulse would exceed the board's length limit; not given */
    OURO_ERR_TIMEOUT = 25,        /* the hardware did not finish in time */
    OURO_ERR_HAL = 26,            /* the hardware reported a failure */
    OURO_ABORTED = 27,            /* stopped by the caller; outputs are safe */
    OURO_ERR_SELECT = 28,         /* there is no such cell, or the selector failed */
    OURO_ERR_VOLTAGE = 29,        /* the voltage really set is not the one asked for */
    OURO_ERR_PULSE_LENGTH = 30,   /* the pulse really given was not as long as asked for */
    OURO_ERR_CORRUPT = 31,        /* the state machine's memory is not consistent */
    OURO_ERR_LIMIT_PULSES = 32    /* a pulse more than the board's limit of iterations; not given */
} ouro_status_t;

#define OURO_STATUS_IS_ERROR(status) ((int)(status) >= 16)

#endif
