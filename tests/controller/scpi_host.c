/* The protocol on the mailbox HAL: answers standard input. Argument: another identity. */
#include <stdio.h>
#include <stdlib.h>

#include "ouro_mailbox_hal.h"
#include "ouro_scpi.h"

#define SIDE 1000U /* rows and columns of the array */

static ouro_hal_t hal;
static ouro_scpi_t scpi;
static int32_t g_nS = 160000;
static ouro_device_state_t states[OURO_STATE_ROWS * OURO_STATE_COLUMNS];

static void serve(void)
{
    const ouro_reading_t reading = {g_nS, false};
    const ouro_wait_t wait = ouro_mailbox_wait(&hal);

    if (wait == OURO_WAIT_READ) {
        ouro_mailbox_serve_read(&hal, reading);
    } else if (wait == OURO_WAIT_PULSE) {
        g_nS = 220000;
        ouro_mailbox_serve_pulse(&hal, hal.ticks);
    }
}

static void begin(const char *identity)
{
    ouro_mailbox_init(&hal);
    hal.rows = SIDE;
    hal.columns = SIDE;
    if ((ouro_scpi_init(NULL, &hal, identity) != OURO_ERR_NULL) ||
        (ouro_scpi_init(&scpi, NULL, identity) != OURO_ERR_NULL) ||
        (ouro_scpi_init(&scpi, &hal, NULL) != OURO_ERR_NULL) || (ouro_scpi_init(&scpi, &hal, identity) != OURO_IDLE)) {
        abort();
    }
    if ((ouro_scpi_keep_states(NULL, states, OURO_STATE_ROWS, OURO_STATE_COLUMNS) != OURO_ERR_NULL) ||
        (ouro_scpi_keep_states(&scpi, NULL, OURO_STATE_ROWS, OURO_STATE_COLUMNS) != OURO_ERR_NULL) ||
        (ouro_scpi_keep_states(&scpi, states, OURO_STATE_ROWS, OURO_STATE_COLUMNS) != OURO_OK)) {
        abort();
    }
}

/* A '~' polls until idle, a '^' polls once, a '!' reads nothing more out until the next '~'. */
int main(int argc, char **argv)
{
    int c;
    bool is_mute = false;
    uint8_t byte;

    begin((argc > 1) ? argv[1] : "Ouroboros,host,0,test");
    while ((c = getchar()) != EOF) {
        if ((c == '~') || (c == '^')) {
            is_mute = is_mute && (c == '^');
            while ((ouro_scpi_poll(&scpi) == OURO_BUSY) && (c == '~')) {
                serve();
            }
        } else if (c == '!') {
            is_mute = true;
        } else {
            ouro_scpi_feed(&scpi, (uint8_t)c);
        }
        while (!is_mute && ouro_scpi_take(&scpi, &byte)) {
            putchar((int)byte);
        }
    }
    fprintf(stderr, "%u %d\n", hal.violations, (int)ouro_mailbox_is_safe(&hal));
    return 0;
}
