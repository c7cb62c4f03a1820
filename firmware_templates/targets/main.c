/* The firmware of a board: the serial protocol over the controller, for ever. */
#include "ouro_board.h"
#include "ouro_config.h"
#include "ouro_scpi.h"
#include "ouro_target_hal.h"

int main(void)
{
    static ouro_scpi_t scpi;
#if OURO_STATE_ROWS > 0U
    static ouro_device_state_t states[OURO_STATE_ROWS][OURO_STATE_COLUMNS];
#endif
    bool has_byte_to_send = false;
    uint8_t to_send = 0U;

    board_init();
    (void)ouro_scpi_init(&scpi, ouro_target_hal(), OURO_IDENTITY);
#if OURO_STATE_ROWS > 0U
    (void)ouro_scpi_keep_states(&scpi, &states[0][0], OURO_STATE_ROWS, OURO_STATE_COLUMNS);
#endif
    for (;;) {
        uint8_t received;

        board_watchdog_kick();
        if (board_line_receive(BOARD_HOST_LINE, &received)) {
            ouro_scpi_feed(&scpi, received);
        }
        if (ouro_scpi_poll(&scpi) != OURO_BUSY) {
            ouro_target_listen();
        }
        if (!has_byte_to_send) {
            has_byte_to_send = ouro_scpi_take(&scpi, &to_send);
        }
        if (has_byte_to_send && board_line_send(BOARD_HOST_LINE, to_send)) {
            has_byte_to_send = false;
        }
    }
}
