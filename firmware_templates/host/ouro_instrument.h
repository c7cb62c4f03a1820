/*
 * Host only: the board as an instrument, the text protocol on a mailbox HAL that a simulated bench serves.
 *
 * Feed a byte, step until the bench has something to do or the board rests, serve it, repeat; then take the replies.
 * Plain types only: cffi reads the declarations of this file as they stand.
 */
#ifndef OURO_INSTRUMENT_H
#define OURO_INSTRUMENT_H

#include <stdint.h>

typedef struct ouro_instrument ouro_instrument_t;

/* A board at rest with an array of rows x columns (1 .. 65536 each); NULL when memory is short. */
ouro_instrument_t *ouro_instrument_new(uint32_t rows, uint32_t columns);
void ouro_instrument_free(ouro_instrument_t *instrument);

/* Receive one byte of the serial line. */
void ouro_instrument_feed(ouro_instrument_t *instrument, uint8_t byte);

/* Work until the board waits for the bench or rests. Returns what it waits for, an ouro_wait_t of ouro_lockstep.h. */
int ouro_instrument_step(ouro_instrument_t *instrument);

/* The selected cell; voltage in uV and length in ticks of the pulse asked for. */
uint32_t ouro_instrument_row(const ouro_instrument_t *instrument);
uint32_t ouro_instrument_column(const ouro_instrument_t *instrument);
int32_t ouro_instrument_v_uV(const ouro_instrument_t *instrument);
uint32_t ouro_instrument_ticks(const ouro_instrument_t *instrument);

/* Answer the waiting read with an ADC code, the waiting pulse with the ticks really given. */
void ouro_instrument_serve_read(ouro_instrument_t *instrument, uint32_t code);
void ouro_instrument_serve_pulse(ouro_instrument_t *instrument, uint32_t ticks_given);

/* The next byte to send, -1 when there is none. */
int ouro_instrument_take(ouro_instrument_t *instrument);

/* Safety log, as ouro_lockstep_violations() and ouro_lockstep_is_safe(). */
unsigned ouro_instrument_violations(const ouro_instrument_t *instrument);
int ouro_instrument_is_safe(const ouro_instrument_t *instrument);

#endif
