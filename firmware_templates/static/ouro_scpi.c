/* The text protocol: see ouro_scpi.h for its use and docs/protocol.md for its commands. */
#include "ouro_scpi.h"

#include <stddef.h>

/* SCPI-1999 error numbers; positive ones are an ouro_status_t. */
#define ERR_DATA (-104)
#define ERR_PARAMETER_COUNT (-109)
#define ERR_HEADER (-113)
#define ERR_BUSY (-213)
#define ERR_RANGE (-222)
#define ERR_OVERFLOW (-350)
#define ERR_COMMUNICATION (-360)
#define ERR_OVERRUN (-363)
#define ERR_DEADLOCK (-430)

/* ---- errors: a full queue keeps the oldest and says at its end that more were lost ------------------- */

static void push_error(ouro_scpi_t *s, int error)
{
    if (s->error_count < OURO_SCPI_ERRORS) {
        s->errors[s->error_count] = (int16_t)error;
        s->error_count++;
    } else {
        s->errors[OURO_SCPI_ERRORS - 1U] = (int16_t)ERR_OVERFLOW;
    }
}

static int pop_error(ouro_scpi_t *s)
{
    int error = 0;

    if (s->error_count > 0U) {
        error = s->errors[0];
        s->error_count--;
        for (uint16_t i = 0U; i < s->error_count; i++) {
            s->errors[i] = s->errors[i + 1U];
        }
    }
    return error;
}

static const char *error_text(int error)
{
    const char *text = "Device error";

    switch (error) {
    case 0:
        text = "No error";
        break;
    case ERR_DATA:
        text = "Data type error";
        break;
    case ERR_PARAMETER_COUNT:
        text = "Wrong number of parameters";
        break;
    case ERR_HEADER:
        text = "Undefined header";
        break;
    case ERR_BUSY:
        text = "Init ignored";
        break;
    case ERR_RANGE:
        text = "Data out of range";
        break;
    case ERR_OVERFLOW:
        text = "Queue overflow";
        break;
    case ERR_COMMUNICATION:
        text = "Communication error";
        break;
    case ERR_OVERRUN:
        text = "Input buffer overrun";
        break;
    case ERR_DEADLOCK:
        text = "Query DEADLOCKED";
        break;
    default:
        break;
    }
    return text;
}

/* ---- replies: released whole or not at all ------------------------------------------------------------ */

static char *output_at(ouro_scpi_t *s, uint32_t i)
{
    return &s->output[(s->output_first + i) % OURO_SCPI_OUTPUT];
}

static void put(ouro_scpi_t *s, char c)
{
    const uint32_t end = (uint32_t)s->output_length + s->reply_length;

    if (end < OURO_SCPI_OUTPUT) {
        *output_at(s, end) = c;
        s->reply_length++;
    } else {
        s->is_reply_lost = true;
    }
}

static void put_text(ouro_scpi_t *s, const char *text)
{
    const char *at = text;

    while ((*at != '\0') && !s->is_reply_lost) {
        put(s, *at);
        at++;
    }
}

static void put_number(ouro_scpi_t *s, uint64_t number)
{
    char digits[20];
    uint64_t left = number;
    uint32_t n = 0U;

    do {
        digits[n] = "0123456789"[left % 10U];
        left /= 10U;
        n++;
    } while (left > 0U);
    while (n > 0U) {
        n--;
        put(s, digits[n]);
    }
}

static void put_signed(ouro_scpi_t *s, int64_t number)
{
    if (number < 0) {
        put(s, '-');
    }
    put_number(s, (uint64_t)((number < 0) ? -number : number));
}

/* CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, not reflected. */
static uint16_t crc_add(uint16_t crc, char c)
{
    uint32_t sum = crc ^ ((uint32_t)(uint8_t)c << 8U);

    for (int bit = 0; bit < 8; bit++) {
        sum = ((sum & 0x8000U) != 0U) ? ((sum << 1U) ^ 0x1021U) : (sum << 1U);
    }
    return (uint16_t)(sum & 0xFFFFU);
}

static char hex_digit(uint32_t crc, uint32_t place)
{
    return "0123456789ABCDEF"[(crc >> (12U - (4U * place))) & 15U];
}

static void end_reply(ouro_scpi_t *s)
{
    if (s->has_crc) {
        uint16_t crc = 0xFFFFU;

        for (uint32_t i = 0U; i < s->reply_length; i++) {
            crc = crc_add(crc, *output_at(s, (uint32_t)s->output_length + i));
        }
        put(s, '*');
        for (uint32_t place = 0U; place < 4U; place++) {
            put(s, hex_digit(crc, place));
        }
    }
    put(s, '\n');
    if (s->is_reply_lost) {
        push_error(s, ERR_DEADLOCK);
    } else {
        s->output_length = (uint16_t)(s->output_length + s->reply_length);
    }
    s->reply_length = 0U;
    s->is_reply_lost = false;
}

/* status,g_start_nS,g_last_nS,iterations,pulses,direction,last_ticks,total_ticks,last_v_uV; a measurement: status,g_nS
 */
static void reply_result(ouro_scpi_t *s)
{
    const ouro_result_t *r = &s->controller.result;
    const bool has_read = s->is_measurement && (r->status == OURO_CONVERGED);

    put_signed(s, has_read ? (int64_t)OURO_OK : (int64_t)r->status);
    put(s, ',');
    if (!s->is_measurement) {
        put_signed(s, r->g_start_nS);
        put(s, ',');
    }
    put_signed(s, r->g_last_nS);
    if (!s->is_measurement) {
        put(s, ',');
        put_number(s, r->iterations);
        put(s, ',');
        put_number(s, r->pulses);
        put(s, ',');
        put_signed(s, (int64_t)r->last_pulse.direction);
        put(s, ',');
        put_number(s, r->last_pulse.width_ticks);
        put(s, ',');
        put_number(s, r->total_ticks);
        put(s, ',');
        put_signed(s, r->last_pulse.v_uV);
    }
    end_reply(s);
}

static void end_program(ouro_scpi_t *s)
{
    s->is_busy = false;
    if (OURO_STATUS_IS_ERROR(s->controller.result.status)) {
        push_error(s, (int)s->controller.result.status);
    }
    reply_result(s);
}

/* ---- arguments ----------------------------------------------------------------------------------------- */

static char upper(char c)
{
    return ((c >= 'a') && (c <= 'z')) ? (char)(c - ('a' - 'A')) : c;
}

/* Does `text` begin with `word`, in any case? Then *rest is what comes after. */
static bool begins(const char *text, const char *word, const char **rest)
{
    uint32_t i = 0U;

    while ((word[i] != '\0') && (upper(text[i]) == word[i])) {
        i++;
    }
    *rest = &text[i];
    return word[i] == '\0';
}

static bool is_digit(char c)
{
    return (c >= '0') && (c <= '9');
}

/*
 * An integer, or a conductance with a unit (NS, US, MS) and then decimals: up to a comma or the end.
 * Returns what follows and sets *value, or NULL. Decimals finer than 1 nS are refused, not rounded.
 */
static const char *parse_number(const char *text, int32_t *value)
{
    static const char *const units[3] = {"NS", "US", "MS"};
    const char *at = text;
    int64_t number = 0;
    uint32_t decimals = 0U;
    uint32_t exponent = 0U;
    bool has_point = false;
    bool is_good = is_digit(*at);

    while (is_digit(*at) || ((*at == '.') && !has_point)) {
        if (*at == '.') {
            has_point = true;
        } else {
            const int32_t digit = (int32_t)*at - (int32_t)'0';

            number = (number > INT32_MAX) ? number : ((10 * number) + digit);
            decimals += has_point ? 1U : 0U;
        }
        at++;
    }
    for (uint32_t unit = 0U; unit < 3U; unit++) {
        const char *rest;

        if (begins(at, units[unit], &rest)) {
            exponent = 3U * unit;
            at = rest;
            break;
        }
    }
    is_good = is_good && (decimals <= exponent);
    for (uint32_t i = decimals; is_good && (i < exponent); i++) {
        number *= 10;
    }
    is_good = is_good && (number <= INT32_MAX) && ((*at == ',') || (*at == '\0'));
    *value = is_good ? (int32_t)number : 0;
    return is_good ? at : NULL;
}

/* Exactly `n` numbers, each after a minus where one may be. Pushes an error and returns false otherwise. */
static bool parse_numbers(ouro_scpi_t *s, const char *text, uint32_t n, bool may_be_negative, int32_t *values)
{
    const char *at = text;
    int error = (*at == ' ') ? 0 : ERR_PARAMETER_COUNT;

    for (uint32_t i = 0U; (error == 0) && (i < n); i++) {
        const bool is_negative = may_be_negative && (at[1] == '-');

        at = parse_number(&at[is_negative ? 2U : 1U], &values[i]);
        if (is_negative) {
            values[i] = -values[i];
        }
        if (at == NULL) {
            error = ERR_DATA;
        } else if (*at != (((i + 1U) < n) ? ',' : '\0')) {
            error = ERR_PARAMETER_COUNT;
        } else {
            /* a good one */
        }
    }
    if (error != 0) {
        push_error(s, error);
    }
    return error == 0;
}

static bool parse_arguments(ouro_scpi_t *s, const char *text, uint32_t n, int32_t *values)
{
    return parse_numbers(s, text, n, false, values);
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static bool fits_u16(int32_t value)
{
    return value <= (int32_t)UINT16_MAX;
}

#if OURO_STATE_ROWS > 0U
/* What is known of a device; NULL beyond the array. */
static ouro_device_state_t *state_of(ouro_scpi_t *s, const int32_t *values)
{
    const uint32_t row = (uint32_t)values[0]; /* a negative one becomes too large */
    const uint32_t column = (uint32_t)values[1];

    return ((row < s->rows) && (column < s->columns)) ? &s->states[(row * s->columns) + column] : NULL;
}
#endif

static void start(ouro_scpi_t *s, ouro_mode_t mode, const int32_t *values)
{
    ouro_request_t request = s->settings;

    request.mode = mode;
    request.g_target_nS = values[2];
    if (s->is_measurement) {
        /* Any reading is on target: the program ends at its first one, without a pulse. */
        request.g_target_nS = OURO_G_MIN_nS;
        request.tolerance_nS = INT32_MAX;
    }
    if (!fits_u16(values[0]) || !fits_u16(values[1])) {
        push_error(s, ERR_RANGE);
        return;
    }
    request.row = (uint16_t)values[0];
    request.column = (uint16_t)values[1];
#if OURO_STATE_ROWS > 0U
    request.state = state_of(s, values);
    if (mode == OURO_CALIBRATE) {
        request.max_iterations = (uint16_t)values[2];
        request.g_target_nS = OURO_G_MIN_nS;
    }
#endif
    s->is_busy = true;
    if (ouro_controller_start(&s->controller, &request) != OURO_BUSY) {
        end_program(s);
    }
}

/* Take `settings` when the controller would accept them. */
static void configure(ouro_scpi_t *s, const ouro_request_t *settings, bool fits)
{
    if (fits && (ouro_request_check(settings) == OURO_OK)) {
        s->settings = *settings;
    } else {
        push_error(s, ERR_RANGE);
    }
}

static void defaults(ouro_scpi_t *s)
{
    s->settings = ouro_request_write_verify(0U, 0U, OURO_G_MIN_nS);
}

static void run_configuration(ouro_scpi_t *s, const char *text)
{
    ouro_request_t next = s->settings;
    int32_t v[2] = {0, 0};
    const char *rest;

    if (begins(text, "TOL:REL", &rest)) {
        if (parse_arguments(s, rest, 1U, v)) {
            next.tolerance_permille = (uint16_t)v[0];
            configure(s, &next, fits_u16(v[0]));
        }
    } else if (begins(text, "TOL", &rest)) {
        if (parse_arguments(s, rest, 1U, v)) {
            next.tolerance_nS = v[0];
            configure(s, &next, true);
        }
    } else if (begins(text, "ITER", &rest)) {
        if (parse_arguments(s, rest, 1U, v)) {
            next.max_iterations = (uint16_t)v[0];
            configure(s, &next, fits_u16(v[0]));
        }
    } else if (begins(text, "STUC", &rest)) {
        if (parse_arguments(s, rest, 2U, v)) {
            next.stuck_pulses = (uint16_t)v[0];
            next.stuck_move_nS = v[1];
            configure(s, &next, fits_u16(v[0]));
        }
    } else if (begins(text, "BUDG", &rest)) {
        if (parse_arguments(s, rest, 1U, v)) {
            next.budget_ticks = (uint32_t)v[0];
            configure(s, &next, true);
        }
    } else if (begins(text, "PREC", &rest)) {
        if (parse_arguments(s, rest, 1U, v)) {
            next.wish_permille = (uint16_t)v[0];
            configure(s, &next, fits_u16(v[0]));
        }
    } else if (begins(text, "CRC", &rest)) {
        if (parse_arguments(s, rest, 1U, v)) {
            if (v[0] <= 1) {
                s->has_crc = (v[0] == 1);
            } else {
                push_error(s, ERR_RANGE);
            }
        }
    } else {
        push_error(s, ERR_HEADER);
    }
}

#if OURO_STATE_ROWS > 0U
static void calibrate(ouro_scpi_t *s, const int32_t *values)
{
    if ((state_of(s, values) != NULL) && (values[2] >= 1) && (values[2] <= (int32_t)OURO_LIMIT_ITERATIONS)) {
        s->is_measurement = false;
        start(s, OURO_CALIBRATE, values);
    } else {
        push_error(s, ERR_RANGE);
    }
}

static void reply_state(ouro_scpi_t *s, const ouro_device_state_t *state)
{
    if (state != NULL) {
        put_signed(s, state->log2_rate_q4);
        put(s, ',');
        put_number(s, state->pulses);
        end_reply(s);
    } else {
        push_error(s, ERR_RANGE);
    }
}

static void set_state(ouro_scpi_t *s, const int32_t *values)
{
    ouro_device_state_t *state = state_of(s, values);
    const bool rate_fits = (values[2] >= INT8_MIN) && (values[2] <= INT8_MAX);
    const bool pulses_fit = (values[3] >= 0) && (values[3] <= (int32_t)UINT8_MAX);

    if ((state != NULL) && rate_fits && pulses_fit) {
        state->log2_rate_q4 = (int8_t)values[2];
        state->pulses = (uint8_t)values[3];
    } else {
        push_error(s, ERR_RANGE);
    }
}

static void forget_devices(ouro_scpi_t *s)
{
    const ouro_device_state_t unknown = {0};

    for (uint32_t i = 0U; i < (s->rows * s->columns); i++) {
        s->states[i] = unknown;
    }
}

/* Commands about what is known of devices. */
static void run_device_command(ouro_scpi_t *s, const char *text)
{
    int32_t v[4] = {0, 0, 0, 0};
    const char *rest;

    if (begins(text, "CAL:DEV", &rest)) {
        if (parse_arguments(s, rest, 3U, v)) {
            calibrate(s, v);
        }
    } else if (begins(text, "DEV:STAT?", &rest)) {
        if (parse_arguments(s, rest, 2U, v)) {
            reply_state(s, state_of(s, v));
        }
    } else if (begins(text, "DEV:STAT", &rest)) {
        if (parse_numbers(s, rest, 4U, true, v)) {
            set_state(s, v);
        }
    } else if (begins(text, "DEV:RES", &rest)) {
        if (*rest == '\0') {
            forget_devices(s);
        } else {
            push_error(s, ERR_PARAMETER_COUNT);
        }
    } else {
        push_error(s, ERR_HEADER);
    }
}
#endif

/* Commands that begin something or change a setting: refused while a program is under way. */
static void run_command(ouro_scpi_t *s, const char *text)
{
    int32_t v[3] = {0, 0, 0};
    const char *rest;

    if (s->is_busy) {
        push_error(s, ERR_BUSY);
    } else if (begins(text, "CONF:", &rest)) {
        run_configuration(s, rest);
    } else if (begins(text, "MEAS:COND?", &rest)) {
        if (parse_arguments(s, rest, 2U, v)) {
            s->is_measurement = true;
            start(s, OURO_WRITE_VERIFY, v);
        }
    } else if (begins(text, "PROG:ONES", &rest)) {
        if (parse_arguments(s, rest, 3U, v)) {
            s->is_measurement = false;
            start(s, OURO_ONE_SHOT, v);
        }
    } else if (begins(text, "PROG:VER", &rest)) {
        if (parse_arguments(s, rest, 3U, v)) {
            s->is_measurement = false;
            start(s, OURO_WRITE_VERIFY, v);
        }
    } else {
#if OURO_STATE_ROWS > 0U
        run_device_command(s, text);
#else
        push_error(s, ERR_HEADER);
#endif
    }
}

static bool is_word(const char *text, const char *word)
{
    const char *rest;

    return begins(text, word, &rest) && (*rest == '\0');
}

static void stop(ouro_scpi_t *s)
{
    (void)ouro_controller_abort(&s->controller);
    if (s->is_busy) {
        end_program(s);
    }
}

static void run_line(ouro_scpi_t *s)
{
    if (is_word(s->line, "ABOR")) {
        stop(s);
    } else if (is_word(s->line, "*RST")) {
        stop(s);
        (void)ouro_controller_init(&s->controller, s->controller.hal);
        defaults(s);
    } else if (is_word(s->line, "*CLS")) {
        s->error_count = 0U;
    } else if (is_word(s->line, "*IDN?")) {
        put_text(s, s->identity);
        end_reply(s);
    } else if (is_word(s->line, "SYST:ERR?")) {
        const int error = pop_error(s);

        put_signed(s, error);
        put_text(s, ",\"");
        put_text(s, error_text(error));
        put(s, '"');
        end_reply(s);
    } else if (s->line[0] != '\0') {
        run_command(s, s->line);
    } else {
        /* an empty line */
    }
}

/* Check and remove the line's *hhhh. */
static bool strip_crc(ouro_scpi_t *s)
{
    uint16_t crc = 0xFFFFU;
    bool is_good = s->line_length >= 5U;

    if (is_good) {
        const uint32_t end = (uint32_t)s->line_length - 5U;

        for (uint32_t i = 0U; i < end; i++) {
            crc = crc_add(crc, s->line[i]);
        }
        is_good = s->line[end] == '*';
        for (uint32_t place = 0U; place < 4U; place++) {
            is_good = is_good && (upper(s->line[end + 1U + place]) == hex_digit(crc, place));
        }
        s->line[end] = '\0';
    }
    return is_good;
}

static void end_line(ouro_scpi_t *s)
{
    s->line[s->line_length] = '\0';
    if (s->is_overlong) {
        push_error(s, ERR_OVERRUN);
    } else if (s->has_crc && (s->line_length > 0U) && !strip_crc(s)) {
        push_error(s, ERR_COMMUNICATION);
    } else {
        run_line(s);
    }
    s->line_length = 0U;
    s->is_overlong = false;
}

/* ---- public -------------------------------------------------------------------------------------------- */

ouro_status_t ouro_scpi_init(ouro_scpi_t *scpi, ouro_hal_t *hal, const char *identity)
{
    if ((scpi == NULL) || (hal == NULL) || (identity == NULL)) {
        return OURO_ERR_NULL;
    }
    *scpi = (ouro_scpi_t){.identity = identity};
    defaults(scpi);
    return ouro_controller_init(&scpi->controller, hal);
}

#if OURO_STATE_ROWS > 0U
ouro_status_t ouro_scpi_keep_states(ouro_scpi_t *scpi, ouro_device_state_t *states, uint32_t rows, uint32_t columns)
{
    if ((scpi == NULL) || (states == NULL)) {
        return OURO_ERR_NULL;
    }
    scpi->states = states;
    scpi->rows = rows;
    scpi->columns = columns;
    return OURO_OK;
}
#endif

void ouro_scpi_feed(ouro_scpi_t *scpi, uint8_t byte)
{
    if (byte == (uint8_t)'\n') {
        end_line(scpi);
    } else if (byte == (uint8_t)'\r') {
        /* the first half of a line end */
    } else if (scpi->line_length < OURO_SCPI_LINE) {
        /* a NUL would hide the rest of its line */
        scpi->line[scpi->line_length] = (byte == 0U) ? '?' : (char)byte;
        scpi->line_length++;
    } else {
        scpi->is_overlong = true;
    }
}

ouro_status_t ouro_scpi_poll(ouro_scpi_t *scpi)
{
    const ouro_status_t status = ouro_controller_step(&scpi->controller);

    if (scpi->is_busy && (status != OURO_BUSY)) {
        end_program(scpi);
    }
    return status;
}

bool ouro_scpi_take(ouro_scpi_t *scpi, uint8_t *byte)
{
    const bool has_byte = scpi->output_length > 0U;

    if (has_byte) {
        *byte = (uint8_t)scpi->output[scpi->output_first];
        scpi->output_first = (uint16_t)((scpi->output_first + 1U) % OURO_SCPI_OUTPUT);
        scpi->output_length--;
    }
    return has_byte;
}
