/*
 * SCPI-style text protocol over a serial line: feed it bytes, poll it, take its replies.
 *
 *     ouro_scpi_init(&scpi, hal, OURO_IDENTITY);
 *     for (;;) {
 *         while (a byte has come) { ouro_scpi_feed(&scpi, byte); }
 *         ouro_scpi_poll(&scpi);
 *         while (the line is free && ouro_scpi_take(&scpi, &byte)) { send(byte); }
 *     }
 *
 * Never waits; every call is bounded. Not reentrant. docs/protocol.md holds the commands.
 */
#ifndef OURO_SCPI_H
#define OURO_SCPI_H

#include <stdbool.h>
#include <stdint.h>

#include "ouro_controller.h"

#define OURO_SCPI_LINE 80U    /* longest line in, without its end */
#define OURO_SCPI_OUTPUT 256U /* replies not yet taken */
#define OURO_SCPI_ERRORS 8U   /* errors kept for SYST:ERR? */

/* One conversation; everything is private. */
typedef struct {
    ouro_controller_t controller;
    ouro_request_t settings; /* what PROG:VER starts from; row, column and target are ignored */
    const char *identity;    /* answer to *IDN? */
    bool is_overlong;        /* the present line did not fit: its rest is skipped */
    bool has_crc;            /* lines end in *hhhh, both ways */
    bool is_busy;            /* a measurement or a program is under way */
    bool is_measurement;
    uint16_t line_length;
    uint16_t output_first;
    uint16_t output_length;
    uint16_t reply_length; /* of the reply being written, not yet released */
    bool is_reply_lost;    /* the reply being written did not fit */
    uint16_t error_count;
    int16_t errors[OURO_SCPI_ERRORS];
#if OURO_STATE_ROWS > 0U
    ouro_device_state_t *states; /* of rows * columns devices, row by row */
    uint32_t rows;               /* 0: none are kept */
    uint32_t columns;
#endif
    char line[OURO_SCPI_LINE + 1U];
    char output[OURO_SCPI_OUTPUT];
} ouro_scpi_t;

/* Start over with outputs safe. `identity` must outlive `scpi`. Returns OURO_IDLE, or OURO_ERR_NULL. */
ouro_status_t ouro_scpi_init(ouro_scpi_t *scpi, ouro_hal_t *hal, const char *identity);

#if OURO_STATE_ROWS > 0U
/* Keep what is known of each device in `states`, rows * columns of them, row by row, which must outlive `scpi`.
 * Programs predict with them and learn from every pulse that a reading follows; commands calibrate, tell and set them.
 * To be called after each ouro_scpi_init(), which forgets where they are. Returns OURO_OK, or OURO_ERR_NULL. */
ouro_status_t ouro_scpi_keep_states(ouro_scpi_t *scpi, ouro_device_state_t *states, uint32_t rows, uint32_t columns);
#endif

/* Take one received byte; a line feed ends a line, which is carried out or begun at once. */
void ouro_scpi_feed(ouro_scpi_t *scpi, uint8_t byte);

/* Do one step of the program under way. Returns OURO_BUSY while there is one, else its outcome. */
ouro_status_t ouro_scpi_poll(ouro_scpi_t *scpi);

/* The next byte to send, if there is one. */
bool ouro_scpi_take(ouro_scpi_t *scpi, uint8_t *byte);

#endif
