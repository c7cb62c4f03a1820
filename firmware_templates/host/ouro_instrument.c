#include "ouro_instrument.h"

#include <stdlib.h>

#include "ouro_adc.h"
#include "ouro_config.h"
#include "ouro_mailbox_hal.h"
#include "ouro_scpi.h"

struct ouro_instrument {
    ouro_hal_t hal;
    ouro_scpi_t scpi;
    ouro_device_state_t *states; /* NULL where the network does not know its devices */
};

ouro_instrument_t *ouro_instrument_new(uint32_t rows, uint32_t columns)
{
    ouro_instrument_t *instrument = calloc(1U, sizeof *instrument);

    if (instrument != NULL) {
        ouro_mailbox_init(&instrument->hal);
        instrument->hal.rows = rows;
        instrument->hal.columns = columns;
        (void)ouro_scpi_init(&instrument->scpi, &instrument->hal, OURO_IDENTITY);
#if OURO_STATE_ROWS > 0U
        instrument->states = calloc((size_t)rows * columns, sizeof *instrument->states);
        if (ouro_scpi_keep_states(&instrument->scpi, instrument->states, rows, columns) != OURO_OK) {
            free(instrument);
            return NULL;
        }
#endif
    }
    return instrument;
}

void ouro_instrument_free(ouro_instrument_t *instrument)
{
    if (instrument != NULL) {
        free(instrument->states);
        free(instrument);
    }
}

void ouro_instrument_feed(ouro_instrument_t *instrument, uint8_t byte)
{
    ouro_scpi_feed(&instrument->scpi, byte);
}

int ouro_instrument_step(ouro_instrument_t *instrument)
{
    ouro_status_t status = OURO_BUSY;

    while ((status == OURO_BUSY) && (ouro_mailbox_wait(&instrument->hal) == OURO_WAIT_NONE)) {
        status = ouro_scpi_poll(&instrument->scpi);
    }
    return (int)ouro_mailbox_wait(&instrument->hal);
}

uint32_t ouro_instrument_row(const ouro_instrument_t *instrument)
{
    return instrument->hal.row;
}

uint32_t ouro_instrument_column(const ouro_instrument_t *instrument)
{
    return instrument->hal.column;
}

int32_t ouro_instrument_v_uV(const ouro_instrument_t *instrument)
{
    return instrument->hal.v_uV;
}

uint32_t ouro_instrument_ticks(const ouro_instrument_t *instrument)
{
    return instrument->hal.ticks;
}

void ouro_instrument_serve_read(ouro_instrument_t *instrument, uint32_t code)
{
    ouro_mailbox_serve_read(&instrument->hal, ouro_reading_from_code(code));
}

void ouro_instrument_serve_pulse(ouro_instrument_t *instrument, uint32_t ticks_given)
{
    ouro_mailbox_serve_pulse(&instrument->hal, ticks_given);
}

int ouro_instrument_take(ouro_instrument_t *instrument)
{
    uint8_t byte;

    return ouro_scpi_take(&instrument->scpi, &byte) ? (int)byte : -1;
}

unsigned ouro_instrument_violations(const ouro_instrument_t *instrument)
{
    return instrument->hal.violations;
}

int ouro_instrument_is_safe(const ouro_instrument_t *instrument)
{
    return ouro_mailbox_is_safe(&instrument->hal) ? 1 : 0;
}
