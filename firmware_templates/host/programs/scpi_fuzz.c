/*
 * scpi_fuzz N SEED: N mutated lines to the protocol parser, controller and predictor behind it, on the mailbox HAL.
 *
 * After every line the board works a little, mostly served, sometimes not. A finding is a broken safety rule, a board
 * that rests unsafely, or a reply that is no line of printable text; what the sanitizers find ends the program. Prints
 * executions, findings, replies, pulses given and lines under CRC; every finding goes to standard error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ouro_adc.h"
#include "ouro_mailbox_hal.h"
#include "ouro_scpi.h"

#define SIDE 4U /* rows and columns of the array: cells beyond them cannot be selected */

static ouro_hal_t hal;
static ouro_scpi_t scpi;
static uint64_t state;
static uint64_t replies;
static uint64_t pulses;
static uint64_t secured;
#if OURO_STATE_ROWS > 0U
static ouro_device_state_t states[SIDE * SIDE];
#endif

static uint32_t draw(uint32_t below)
{
    state = (state * UINT64_C(6364136223846793005)) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33U) % below;
}

static void begin(void)
{
    ouro_mailbox_init(&hal);
    hal.rows = SIDE;
    hal.columns = SIDE;
    if (ouro_scpi_init(&scpi, &hal, OURO_IDENTITY) != OURO_IDLE) {
        abort();
    }
#if OURO_STATE_ROWS > 0U
    (void)ouro_scpi_keep_states(&scpi, states, SIDE, SIDE);
#endif
}

/* A line of the protocol with up to three characters changed, sometimes one that is too long. Returns its length. */
static uint32_t mutate(char *line, uint32_t capacity)
{
    static const char *const seeds[] = {"*IDN?",
                                        "*RST",
                                        "*CLS",
                                        "ABOR",
                                        "SYST:ERR?",
                                        "MEAS:COND? 0,1",
                                        "PROG:ONES 1,2,220000",
                                        "PROG:VER 1,2,220.5uS",
                                        "PROG:VER 0,0,0.3mS",
                                        "CONF:TOL 5uS",
                                        "CONF:TOL:REL 50",
                                        "CONF:ITER 9",
                                        "CONF:STUC 3,1000",
                                        "CONF:PREC 50",
                                        "CAL:DEV 1,2,3",
                                        "DEV:STAT? 1,2",
                                        "DEV:STAT 1,2,-16,3",
                                        "DEV:RES",
                                        "CONF:CRC 0",
                                        "CONF:CRC 1"};
    static const char likely[] = "0123456789,.: *?\n";
    const char *seed = seeds[draw((uint32_t)(sizeof seeds / sizeof seeds[0]))];
    const uint32_t length = (uint32_t)strlen(seed);

    memcpy(line, seed, length);
    for (uint32_t k = draw(4U); k > 0U; k--) {
        const char c = (draw(2U) != 0U) ? (char)draw(256U) : likely[draw((uint32_t)sizeof likely - 1U)];

        line[draw(length)] = c;
    }
    if (draw(64U) == 0U) {
        memset(&line[length], 'x', capacity - length);
        return capacity;
    }
    return length;
}

/* Three lines of four end in the right CRC when one is wanted. */
static void send(const char *line, uint32_t length)
{
    uint32_t crc = 0xFFFFU;
    char text[8];

    for (uint32_t k = 0U; k < length; k++) {
        ouro_scpi_feed(&scpi, (uint8_t)line[k]);
        crc ^= (uint32_t)(uint8_t)line[k] << 8U;
        for (int bit = 0; bit < 8; bit++) {
            crc = ((crc & 0x8000U) != 0U) ? ((crc << 1U) ^ 0x1021U) : (crc << 1U);
        }
        crc &= 0xFFFFU;
    }
    if (scpi.has_crc && (draw(4U) != 0U)) {
        (void)snprintf(text, sizeof text, "*%04X", (unsigned)crc);
        for (uint32_t k = 0U; text[k] != '\0'; k++) {
            ouro_scpi_feed(&scpi, (uint8_t)text[k]);
        }
        secured++;
    }
    ouro_scpi_feed(&scpi, (uint8_t)'\n');
}

static void work(void)
{
    for (uint32_t k = draw(24U); k > 0U; k--) {
        const ouro_wait_t wait = ouro_mailbox_wait(&hal);

        (void)ouro_scpi_poll(&scpi);
        if (draw(8U) == 0U) {
            continue; /* the hardware takes its time */
        }
        if (wait == OURO_WAIT_READ) {
            ouro_mailbox_serve_read(&hal, ouro_reading_from_code(draw((uint32_t)OURO_ADC_MAX_CODE + 1U)));
        } else if (wait == OURO_WAIT_PULSE) {
            ouro_mailbox_serve_pulse(&hal, hal.ticks);
            pulses++;
        }
    }
}

/* Read everything out, half of the times. Returns whether it was text. */
static bool take(void)
{
    bool is_text = true;
    uint8_t byte;

    if (draw(2U) != 0U) {
        while (ouro_scpi_take(&scpi, &byte)) {
            is_text = is_text && ((byte == (uint8_t)'\n') || ((byte >= 0x20U) && (byte < 0x7FU)));
            replies += (byte == (uint8_t)'\n') ? 1U : 0U;
        }
    }
    return is_text;
}

int main(int argc, char **argv)
{
    uint64_t findings = 0U;
    uint64_t executions;

    if (argc != 3) {
        return 2;
    }
    executions = strtoull(argv[1], NULL, 10);
    state = strtoull(argv[2], NULL, 10);
    begin();
    for (uint64_t i = 0U; i < executions; i++) {
        char line[128];
        bool is_good;

        send(line, mutate(line, (uint32_t)sizeof line));
        work();
        is_good = take() && (hal.violations == 0U) && (scpi.is_busy || ouro_mailbox_is_safe(&hal));
        if (!is_good) {
            (void)fprintf(stderr, "seed %s, execution %llu: rules broken 0x%x\n", argv[2], (unsigned long long)i,
                          hal.violations);
            findings++;
        }
        if (!is_good || (draw(scpi.has_crc ? 64U : 512U) == 0U)) {
            begin(); /* leaves a CRC switched on by chance; a reset in mid-pulse */
        }
    }
    (void)printf("%llu %llu %llu %llu %llu\n", (unsigned long long)executions, (unsigned long long)findings,
                 (unsigned long long)replies, (unsigned long long)pulses, (unsigned long long)secured);
    return 0;
}
