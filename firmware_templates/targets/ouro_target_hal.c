#include "ouro_target_hal.h"

#include "ouro_board.h"

#define ANSWER_LENGTH 24U
#define SENDING_TRIES 10000000U /* a line that takes no byte for so long is broken */
#define LINK_SIDE 64U           /* rows and columns of the bench's array, codegen/emulation.py */
#define LISTENING_TRIES 20000U  /* looks at the line within one poll */

struct ouro_hal {
    bool is_linked;
    bool is_selected;
    bool is_broken; /* the bench line failed: nothing succeeds any more */
    uint16_t row;
    uint16_t column;
    int32_t v_uV;
    uint32_t length;
    char answer[ANSWER_LENGTH];
};

static ouro_hal_t the_hal;

ouro_hal_t *ouro_target_hal(void)
{
    return &the_hal;
}

static void send_char(ouro_hal_t *hal, char c)
{
    for (uint32_t i = 0U; i < SENDING_TRIES; i++) {
        if (board_line_send(BOARD_BENCH_LINE, (uint8_t)c)) {
            return;
        }
    }
    hal->is_broken = true;
}

static void send_number(ouro_hal_t *hal, int64_t value)
{
    char digits[20];
    uint32_t count = 0U;
    uint64_t left = (value < 0) ? (uint64_t)(-value) : (uint64_t)value;

    if (value < 0) {
        send_char(hal, '-');
    }
    do {
        digits[count] = "0123456789"[left % 10U];
        count++;
        left /= 10U;
    } while (left > 0U);
    while (count > 0U) {
        count--;
        send_char(hal, digits[count]);
    }
}

/* A request for the selected cell: a letter and four numbers. */
static void send_request(ouro_hal_t *hal, char what, int32_t v_uV, uint32_t number)
{
    send_char(hal, what);
    send_char(hal, ' ');
    send_number(hal, hal->row);
    send_char(hal, ',');
    send_number(hal, hal->column);
    send_char(hal, ',');
    send_number(hal, v_uV);
    send_char(hal, ',');
    send_number(hal, number);
    send_char(hal, '\n');
    hal->length = 0U;
}

/* Take what has come; true when a whole line is in `answer`. */
static bool take_line(ouro_hal_t *hal)
{
    for (uint32_t i = 0U; i < LISTENING_TRIES; i++) {
        uint8_t byte;

        if (!board_line_receive(BOARD_BENCH_LINE, &byte)) {
            continue;
        }
        if (byte == (uint8_t)'\n') {
            hal->answer[hal->length] = '\0';
            return true;
        }
        if (hal->length < (ANSWER_LENGTH - 1U)) {
            hal->answer[hal->length] = (char)byte;
            hal->length++;
        }
    }
    return false;
}

/* A decimal number at *text, which moves behind it; false when there is none or it leaves int32_t. */
static bool take_number(const char **text, int32_t *value)
{
    const char *at = *text;
    const bool is_negative = *at == '-';
    int64_t sum = 0;
    uint32_t digits = 0U;

    if (is_negative) {
        at++;
    }
    while ((*at >= '0') && (*at <= '9') && (digits < 10U)) {
        sum = (sum * 10) + (int64_t)(*at - '0');
        digits++;
        at++;
    }
    *text = at;
    *value = (int32_t)(is_negative ? -sum : sum);
    return (digits > 0U) && (sum <= INT32_MAX);
}

void ouro_target_listen(void)
{
    ouro_hal_t *const hal = &the_hal;
    uint8_t byte;

    if (hal->is_linked || !board_line_receive(BOARD_BENCH_LINE, &byte)) {
        return;
    }
    if (byte == (uint8_t)'\n') {
        hal->is_linked = (hal->length == 4U) && (hal->answer[0] == 'L') && (hal->answer[1] == 'I') &&
                         (hal->answer[2] == 'N') && (hal->answer[3] == 'K');
        hal->length = 0U;
    } else if (hal->length < (ANSWER_LENGTH - 1U)) {
        hal->answer[hal->length] = (char)byte;
        hal->length++;
    } else {
        /* a longer line is none of ours: its end starts over */
    }
}

bool ouro_hal_select(ouro_hal_t *hal, uint16_t row, uint16_t column)
{
    if (!hal->is_linked) {
        return board_select(row, column);
    }
    hal->row = row;
    hal->column = column;
    hal->is_selected = (row < LINK_SIDE) && (column < LINK_SIDE);
    return hal->is_selected;
}

int32_t ouro_hal_set_v(ouro_hal_t *hal, int32_t v_uV)
{
    if (!hal->is_linked) {
        return board_set_v(v_uV);
    }
    if (v_uV == 0) {
        hal->v_uV = 0;
        return 0;
    }

    const char *text = hal->answer;
    int32_t given_uV = 0;

    send_char(hal, 'V');
    send_char(hal, ' ');
    send_number(hal, v_uV);
    send_char(hal, '\n');
    hal->length = 0U;
    for (uint32_t i = 0U; i < LISTENING_TRIES; i++) {
        if (take_line(hal)) {
            hal->v_uV = take_number(&text, &given_uV) ? given_uV : 0;
            return hal->v_uV;
        }
    }
    hal->is_broken = true;
    return 0;
}

void ouro_hal_settle_start(ouro_hal_t *hal, uint32_t us)
{
    if (!hal->is_linked) {
        board_settle_start(us);
    }
}

ouro_hal_progress_t ouro_hal_settle_poll(ouro_hal_t *hal)
{
    return hal->is_linked ? OURO_HAL_DONE : board_settle_poll();
}

void ouro_hal_read_start(ouro_hal_t *hal, int32_t v_read_uV, uint16_t n_avg)
{
    if (hal->is_linked) {
        send_request(hal, 'R', v_read_uV, n_avg);
    } else {
        board_read_start(v_read_uV, n_avg);
    }
}

ouro_hal_progress_t ouro_hal_read_poll(ouro_hal_t *hal, ouro_reading_t *reading)
{
    if (!hal->is_linked) {
        return board_read_poll(reading);
    }
    if (hal->is_broken) {
        return OURO_HAL_FAILED;
    }
    if (!take_line(hal)) {
        return OURO_HAL_PENDING;
    }

    const char *text = hal->answer;
    int32_t saturated = 0;

    if (!take_number(&text, &reading->g_nS) || (*text != ',')) {
        return OURO_HAL_FAILED;
    }
    text++;
    if (!take_number(&text, &saturated)) {
        return OURO_HAL_FAILED;
    }
    reading->saturated = saturated != 0;
    return OURO_HAL_DONE;
}

void ouro_hal_pulse_start(ouro_hal_t *hal, ouro_direction_t direction, uint32_t ticks)
{
    if (hal->is_linked) {
        send_request(hal, 'P', hal->v_uV, ticks);
    } else {
        board_pulse_start(direction, ticks);
    }
}

ouro_hal_progress_t ouro_hal_pulse_poll(ouro_hal_t *hal, uint32_t *ticks_given)
{
    if (!hal->is_linked) {
        return board_pulse_poll(ticks_given);
    }
    if (hal->is_broken) {
        return OURO_HAL_FAILED;
    }
    if (!take_line(hal)) {
        return OURO_HAL_PENDING;
    }

    const char *text = hal->answer;
    int32_t ticks = 0;

    if (!take_number(&text, &ticks) || (ticks < 0)) {
        return OURO_HAL_FAILED;
    }
    *ticks_given = (uint32_t)ticks;
    return OURO_HAL_DONE;
}

void ouro_hal_safe(ouro_hal_t *hal)
{
    board_safe();
    hal->v_uV = 0;
    hal->is_selected = false;
    if (hal->is_linked && !hal->is_broken) {
        send_char(hal, 'S');
        send_char(hal, '\n');
    }
}
