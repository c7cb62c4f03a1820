#include "ouro_shared_line.h"

#define BENCH_BIT 0x80U

bool ouro_shared_wants(const ouro_shared_line_t *shared, board_line_t reader)
{
    return (reader == BOARD_BENCH_LINE) || (shared->count[BOARD_HOST_LINE] < OURO_SHARED_ROOM);
}

void ouro_shared_put(ouro_shared_line_t *shared, uint8_t byte)
{
    const uint32_t line = ((byte & BENCH_BIT) != 0U) ? BOARD_BENCH_LINE : BOARD_HOST_LINE;

    if (shared->count[line] < OURO_SHARED_ROOM) {
        const uint32_t at = ((uint32_t)shared->first[line] + shared->count[line]) % OURO_SHARED_ROOM;

        shared->bytes[line][at] = (uint8_t)(byte & (BENCH_BIT - 1U));
        shared->count[line]++;
    }
}

bool ouro_shared_take(ouro_shared_line_t *shared, board_line_t reader, uint8_t *byte)
{
    if (shared->count[reader] == 0U) {
        return false;
    }
    *byte = shared->bytes[reader][shared->first[reader]];
    shared->first[reader] = (uint8_t)((shared->first[reader] + 1U) % OURO_SHARED_ROOM);
    shared->count[reader]--;
    return true;
}

uint8_t ouro_shared_mark(board_line_t line, uint8_t byte)
{
    return (line == BOARD_BENCH_LINE) ? (uint8_t)(byte | BENCH_BIT) : byte;
}
