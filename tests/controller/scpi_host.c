/* The protocol on the mailbox HAL: `talk` answers standard input, `fuzz N SEED` feeds mutated sessions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ouro_mailbox_hal.h"
#include "ouro_scpi.h"

static ouro_hal_t hal;
static ouro_scpi_t scpi;
static int32_t g_nS = 160000;

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

static void begin(void)
{
    ouro_mailbox_init(&hal);
    if (ouro_scpi_init(&scpi, &hal, "Ouroboros,host,0,test") != OURO_IDLE) {
        abort();
    }
}

/* A '~' polls until idle, a '^' polls once, a '!' reads nothing more out until the next '~'. */
static int talk(void)
{
    int c;
    bool is_mute = false;
    uint8_t byte;

    begin();
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

static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state = (state * UINT64_C(6364136223846793005)) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33U) % below;
}

static int fuzz(long n)
{
    static const char *const seeds[] = {"*IDN?",
                                        "*RST",
                                        "*CLS",
                                        "ABOR",
                                        "SYST:ERR?",
                                        "MEAS:COND? 0,1",
                                        "PROG:ONES 1,2,220000",
                                        "PROG:VER 1,2,220.5uS",
                                        "CONF:TOL 5uS",
                                        "CONF:TOL:REL 50",
                                        "CONF:ITER 9",
                                        "CONF:STUC 3,1000",
                                        "CONF:CRC 0",
                                        "CONF:CRC 1",
                                        "PROG:VER 0,0,0.3mS"};
    long findings = 0;
    long replies = 0;
    long pulses = 0;
    long with_crc = 0;

    begin();
    for (long i = 0; i < n; i++) {
        char line[128];
        const char *seed = seeds[draw(sizeof seeds / sizeof seeds[0])];
        uint32_t length = (uint32_t)strlen(seed);
        uint8_t byte;

        memcpy(line, seed, length);
        for (uint32_t k = draw(4U); k > 0U; k--) {
            line[draw(length)] = (draw(2U) != 0U) ? (char)draw(256U) : "0123456789,.: *?\n"[draw(17U)];
        }
        if (draw(64U) == 0U) {
            memset(&line[length], 'x', sizeof line - length);
            length = sizeof line;
        }
        for (uint32_t k = 0U; k < length; k++) {
            ouro_scpi_feed(&scpi, (uint8_t)line[k]);
        }
        ouro_scpi_feed(&scpi, (uint8_t)'\n');
        with_crc += scpi.has_crc ? 1 : 0;
        for (uint32_t k = draw(24U); k > 0U; k--) {
            pulses += (ouro_mailbox_wait(&hal) == OURO_WAIT_PULSE) ? 1 : 0;
            (void)ouro_scpi_poll(&scpi);
            if (draw(8U) != 0U) {
                serve();
            }
        }
        if (draw(2U) != 0U) {
            while (ouro_scpi_take(&scpi, &byte)) {
                replies += (byte == (uint8_t)'\n') ? 1 : 0;
            }
        }
        g_nS = (int32_t)draw(600000U);
        if ((hal.violations != 0U) || (!scpi.is_busy && !ouro_mailbox_is_safe(&hal))) {
            findings++;
            begin();
        }
        if (draw(scpi.has_crc ? 16U : 512U) == 0U) {
            begin(); /* leaves a CRC switched on by chance, or a reset in mid-pulse */
        }
    }
    printf("%ld executions, %ld findings; %ld replies, %ld polls in a pulse, %ld with CRC\n", n, findings, replies,
           pulses, with_crc);
    return (findings == 0) ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 4) {
        state = strtoull(argv[3], NULL, 10);
        return fuzz(strtol(argv[2], NULL, 10));
    }
    return talk();
}
