/*
 * Two lines over one, for boards with a single serial line: commands and replies are 7-bit text, and bytes of the bench
 * link travel with bit 7 set. Host and bench may thus interleave byte by byte, and a terminal still shows the text.
 *
 * A board that does so says `serial_lines = 1` in its manifest, for the program on the other end.
 */
#ifndef OURO_SHARED_LINE_H
#define OURO_SHARED_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "ouro_board.h"

#define OURO_SHARED_ROOM 64U

/* Bytes that have come and wait for their reader, one queue a line. Zero-initialised: empty. */
typedef struct {
    uint8_t bytes[2][OURO_SHARED_ROOM];
    uint8_t first[2];
    uint8_t count[2];
} ouro_shared_line_t;

/* Whether the next byte should be fetched from the line: a reader of the bench never waits for one of the host. */
bool ouro_shared_wants(const ouro_shared_line_t *shared, board_line_t reader);

/* A byte has come. It is lost when its queue is full, as on a line of its own without flow control. */
void ouro_shared_put(ouro_shared_line_t *shared, uint8_t byte);

/* The oldest byte for this reader, if there is one. */
bool ouro_shared_take(ouro_shared_line_t *shared, board_line_t reader, uint8_t *byte);

/* A byte as it is sent. */
uint8_t ouro_shared_mark(board_line_t line, uint8_t byte);

#endif
