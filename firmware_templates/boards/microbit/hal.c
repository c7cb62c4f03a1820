/*
 * BBC micro:bit V1: nRF51822. nRF51 Series Reference Manual 3.0; pins by the names of the edge connector.
 *
 *   USB      (P0.24, P0.25) UART, commands, 115200 baud; the bench line shares it
 *   ring 0   (P0.03) high while a pulse lasts; gates the driver's analogue switch
 *   ring 1   (P0.02) connects the read voltage
 *   ring 2   (P0.01) ADC input 2, 0 - 1.2 V, transimpedance amplifier
 *   P8, P12  (P0.18, P0.20) polarity of the driver: SET, RESET
 *   P13, P15 (P0.23, P0.21) SPI clock and data, 4 MHz, to both
 *   P16      (P0.16) an MCP4822: A magnitude of the pulse voltage, B read voltage
 *   P14      (P0.22) two 74HC595 in series, latch: bits 0 - 5 row, 6 - 11 column, 12 enables the selector
 *
 * The four switches need pull-downs: pins float during a reset, and the rings have pull-ups of 10 MOhm. The pulse is
 * hardware's own: two compare events of TIMER0 toggle its pin through PPI and GPIOTE, whatever the processor does.
 * Without its crystal the board selects no cell: its ticks would have another length. Chips before revision 3 (H0)
 * would need Nordic's set-up of peripherals, anomaly 26; no micro:bit has one.
 */
#include "ouro_board.h"

#include "ouro_config.h"

#include "mcp4822.h"
#include "ouro_parts.h"
#include "ouro_shared_line.h"
#include "registers.h"

#define CLOCK_HFCLKSTART REGISTER(0x40000000U) /* chapter 13 */
#define CLOCK_HFCLKSTARTED 0x40000100U
#define UART_STARTRX REGISTER(0x40002000U) /* chapter 29 */
#define UART_STARTTX REGISTER(0x40002008U)
#define UART_RXDRDY REGISTER(0x40002108U)
#define UART_TXDRDY REGISTER(0x4000211CU)
#define UART_ENABLE REGISTER(0x40002500U)
#define UART_PSELTXD REGISTER(0x4000250CU)
#define UART_PSELRXD REGISTER(0x40002514U)
#define UART_RXD REGISTER(0x40002518U)
#define UART_TXD REGISTER(0x4000251CU)
#define UART_BAUDRATE REGISTER(0x40002524U)
#define SPI_READY 0x40003108U /* chapter 23 */
#define SPI_ENABLE REGISTER(0x40003500U)
#define SPI_PSELSCK REGISTER(0x40003508U)
#define SPI_PSELMOSI REGISTER(0x4000350CU)
#define SPI_RXD REGISTER(0x40003518U)
#define SPI_TXD REGISTER(0x4000351CU)
#define SPI_FREQUENCY REGISTER(0x40003524U)
#define SPI_CONFIG REGISTER(0x40003554U)
#define GPIOTE_OUT0 0x40006000U /* chapter 15 */
#define GPIOTE_CONFIG0 REGISTER(0x40006510U)
#define ADC_START REGISTER(0x40007000U) /* chapter 31 */
#define ADC_END REGISTER(0x40007100U)
#define ADC_ENABLE REGISTER(0x40007500U)
#define ADC_CONFIG REGISTER(0x40007504U)
#define ADC_RESULT REGISTER(0x40007508U)
#define TIMER0 0x40008000U /* chapter 18 */
#define TIMER1 0x40009000U
#define TIMER_START(base) REGISTER((base) + 0x000U)
#define TIMER_STOP(base) REGISTER((base) + 0x004U)
#define TIMER_CLEAR(base) REGISTER((base) + 0x00CU)
#define TIMER_CAPTURE0(base) REGISTER((base) + 0x040U)
#define TIMER_COMPARE(base, k) ((base) + 0x140U + (4U * (k)))
#define TIMER_SHORTS(base) REGISTER((base) + 0x200U)
#define TIMER_BITMODE(base) REGISTER((base) + 0x508U)
#define TIMER_PRESCALER(base) REGISTER((base) + 0x510U)
#define TIMER_CC(base, k) REGISTER((base) + 0x540U + (4U * (k)))
#define WDT_START REGISTER(0x40010000U) /* chapter 19 */
#define WDT_CRV REGISTER(0x40010504U)
#define WDT_RR0 REGISTER(0x40010600U)
#define PPI_CHENSET REGISTER(0x4001F504U) /* chapter 16 */
#define PPI_CHENCLR REGISTER(0x4001F508U)
#define PPI_EEP(k) REGISTER(0x4001F510U + (8U * (k)))
#define PPI_TEP(k) REGISTER(0x4001F514U + (8U * (k)))
#define GPIO_OUTSET REGISTER(0x50000508U) /* chapter 14 */
#define GPIO_OUTCLR REGISTER(0x5000050CU)
#define GPIO_IN REGISTER(0x50000510U)
#define GPIO_PIN_CNF(pin) REGISTER(0x50000700U + (4U * (pin)))

#define PULSE 3U
#define READ 2U
#define SET 18U
#define RESET 20U
#define SCK 23U
#define MOSI 21U
#define DAC_SELECT 16U
#define SELECTOR_LATCH 22U
#define TXD 24U
#define RXD 25U
#define PIN(number) (1UL << (number))
#define ALL_SWITCHES (PIN(SET) | PIN(RESET) | PIN(READ))
#define OUTPUT 0x1U        /* and its input connected: the pulse's pin is read back */
#define INPUT_PULL_UP 0xCU /* input connected */
#define UART_115200 0x01D7E000U
#define SPI_4_MHZ 0x40000000U
#define ADC_INPUT_2 0x0402U /* 10 bits, no prescaling, 1.2 V reference, input 2 */
#define TIMER_16_BITS 0U
#define TIMER_32_BITS 3U
#define STOP_AT_COMPARE_1 0x200U
#define PULSE_CHANNELS 0x3U                             /* of PPI */
#define TASK_CLEAR ((2UL << 16U) | (PULSE << 8U) | 3U)  /* GPIOTE: task mode, the pulse's pin, high to low */
#define TASK_TOGGLE ((3UL << 16U) | (PULSE << 8U) | 3U) /* the same, toggle, low at first */
#define PULSE_BEGIN 16U                                 /* count at which it begins */
#define WATCHDOG_RELOAD 0x6E524635U
#define READ_SETTLE_us 10U

static ouro_shared_line_t shared;
static bool is_sending;
static uint32_t settle_us, waited_us;
static uint16_t seen_us;
static uint32_t pulse_ticks;
static ouro_average_t average;
static bool is_read_settling;
static bool is_clock_right; /* 16 MHz from the crystal */

/* Two bytes to whoever listens on the SPI; false when the SPI does not answer. */
static bool send_word(uint32_t word)
{
    for (uint32_t k = 0U; k < 2U; k++) {
        SPI_TXD = (k == 0U) ? (word >> 8U) : (word & 0xFFU);
        if (!wait_for_bits(SPI_READY, 1U, true, LOOKS_AT_A_BUS)) {
            return false;
        }
        REGISTER(SPI_READY) = 0U;
        (void)SPI_RXD;
    }
    return true;
}

static bool set_dac(uint32_t channel, uint32_t code)
{
    GPIO_OUTCLR = PIN(DAC_SELECT);
    const bool is_sent = send_word(mcp4822_word(channel, code));
    GPIO_OUTSET = PIN(DAC_SELECT);
    return is_sent;
}

/* What the DAC hears of it is no word: it listens while selected only. */
static bool set_selector(uint32_t word)
{
    const bool is_sent = send_word(word);

    GPIO_OUTSET = PIN(SELECTOR_LATCH);
    GPIO_OUTCLR = PIN(SELECTOR_LATCH);
    return is_sent;
}

static void start_spi(void)
{
    SPI_PSELSCK = SCK;
    SPI_PSELMOSI = MOSI;
    SPI_FREQUENCY = SPI_4_MHZ;
    SPI_CONFIG = 0U; /* most significant bit first, mode 0 */
    SPI_ENABLE = 1U;
}

static void start_uart(void)
{
    UART_PSELTXD = TXD;
    UART_PSELRXD = RXD;
    UART_BAUDRATE = UART_115200;
    UART_ENABLE = 4U;
    UART_STARTTX = 1U;
    UART_STARTRX = 1U;
}

static void start_timers(void)
{
    TIMER_BITMODE(TIMER0) = TIMER_32_BITS;
    TIMER_PRESCALER(TIMER0) = 0U; /* 16 MHz */
    TIMER_SHORTS(TIMER0) = STOP_AT_COMPARE_1;
    PPI_EEP(0U) = TIMER_COMPARE(TIMER0, 0U);
    PPI_TEP(0U) = GPIOTE_OUT0;
    PPI_EEP(1U) = TIMER_COMPARE(TIMER0, 1U);
    PPI_TEP(1U) = GPIOTE_OUT0;
    TIMER_BITMODE(TIMER1) = TIMER_16_BITS;
    TIMER_PRESCALER(TIMER1) = 4U; /* 1 us */
    TIMER_START(TIMER1) = 1U;
}

void board_init(void)
{
    GPIO_OUTCLR = ALL_SWITCHES | PIN(PULSE) | PIN(SELECTOR_LATCH) | PIN(SCK) | PIN(MOSI); /* before they drive */
    GPIO_OUTSET = PIN(DAC_SELECT) | PIN(TXD);
    for (uint32_t pin = 0U; pin < 32U; pin++) {
        if (((ALL_SWITCHES | PIN(PULSE) | PIN(SELECTOR_LATCH) | PIN(SCK) | PIN(MOSI) | PIN(DAC_SELECT) | PIN(TXD)) &
             PIN(pin)) != 0U) {
            GPIO_PIN_CNF(pin) = OUTPUT;
        }
    }
    GPIO_PIN_CNF(RXD) = INPUT_PULL_UP;
    CLOCK_HFCLKSTART = 1U;
    is_clock_right = wait_for_bits(CLOCK_HFCLKSTARTED, 1U, true, LOOKS_AT_A_CLOCK);
    start_spi();
    start_uart();
    start_timers();
    ADC_CONFIG = ADC_INPUT_2;
    ADC_ENABLE = 1U;
    board_safe();
    WDT_CRV = 65535U; /* 2 s of 32,768 Hz */
    WDT_START = 1U;
}

void board_watchdog_kick(void)
{
    WDT_RR0 = WATCHDOG_RELOAD;
}

bool board_line_receive(board_line_t line, uint8_t *byte)
{
    if (ouro_shared_wants(&shared, line) && (UART_RXDRDY != 0U)) {
        UART_RXDRDY = 0U; /* first: reading RXD raises it again when more has come */
        ouro_shared_put(&shared, (uint8_t)UART_RXD);
    }
    return ouro_shared_take(&shared, line, byte);
}

bool board_line_send(board_line_t line, uint8_t byte)
{
    if (is_sending && (UART_TXDRDY == 0U)) {
        return false;
    }
    UART_TXDRDY = 0U;
    UART_TXD = ouro_shared_mark(line, byte);
    is_sending = true;
    return true;
}

bool board_select(uint16_t row, uint16_t column)
{
    const uint32_t word = is_clock_right ? ouro_selector_word(row, column) : 0U;

    return set_selector(word) && (word != 0U);
}

int32_t board_set_v(int32_t v_uV)
{
    GPIO_OUTCLR = ALL_SWITCHES;
    return set_dac(MCP4822_PULSE, ouro_dac_code(v_uV)) ? ouro_dac_v_uV(v_uV) : 0;
}

/* TIMER1's microseconds, modulo 2^16. */
static uint16_t now_us(void)
{
    TIMER_CAPTURE0(TIMER1) = 1U;
    return (uint16_t)TIMER_CC(TIMER1, 0U);
}

void board_settle_start(uint32_t us)
{
    settle_us = us;
    waited_us = 0U;
    seen_us = now_us();
}

ouro_hal_progress_t board_settle_poll(void)
{
    const uint16_t us = now_us();

    waited_us += (uint16_t)(us - seen_us); /* polled far more often than every 65 ms */
    seen_us = us;
    return (waited_us >= settle_us) ? OURO_HAL_DONE : OURO_HAL_PENDING;
}

static void start_conversion(void)
{
    ADC_END = 0U;
    ADC_START = 1U;
}

void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    if (set_dac(MCP4822_READ, ouro_dac_code(v_read_uV))) { /* if not, the reading is an open input's: saturated */
        GPIO_OUTSET = PIN(READ);
    }
    ouro_average_start(&average, n_avg);
    is_read_settling = true;
    board_settle_start(READ_SETTLE_us);
}

ouro_hal_progress_t board_read_poll(ouro_reading_t *reading)
{
    if (is_read_settling) {
        if (board_settle_poll() == OURO_HAL_DONE) {
            is_read_settling = false;
            start_conversion();
        }
        return OURO_HAL_PENDING;
    }
    if (ADC_END == 0U) {
        return OURO_HAL_PENDING;
    }
    if (!ouro_average_take(&average, ADC_RESULT & 0x3FFU, reading)) {
        start_conversion();
        return OURO_HAL_PENDING;
    }
    GPIO_OUTCLR = PIN(READ);
    return set_dac(MCP4822_READ, 0U) ? OURO_HAL_DONE : OURO_HAL_FAILED;
}

/* The pin is GPIO's again, and low. */
static void release_pulse_pin(void)
{
    TIMER_STOP(TIMER0) = 1U;
    PPI_CHENCLR = PULSE_CHANNELS;
    GPIOTE_CONFIG0 = 0U;
}

void board_pulse_start(ouro_direction_t direction, uint32_t ticks)
{
    pulse_ticks = ticks;
    GPIO_OUTSET = (direction == OURO_SET) ? PIN(SET) : PIN(RESET);
    TIMER_STOP(TIMER0) = 1U;
    TIMER_CLEAR(TIMER0) = 1U;
    TIMER_CC(TIMER0, 0U) = PULSE_BEGIN;
    TIMER_CC(TIMER0, 1U) = PULSE_BEGIN + ticks;
    REGISTER(TIMER_COMPARE(TIMER0, 1U)) = 0U;
    GPIOTE_CONFIG0 = TASK_CLEAR; /* as Nordic's own driver does: chips that ignore the initial level get it so */
    (void)GPIOTE_CONFIG0;        /* takes the three cycles until it acts */
    REGISTER(GPIOTE_OUT0) = 1U;
    GPIOTE_CONFIG0 = TASK_TOGGLE;
    (void)GPIOTE_CONFIG0;
    PPI_CHENSET = PULSE_CHANNELS;
    TIMER_START(TIMER0) = 1U;
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if (REGISTER(TIMER_COMPARE(TIMER0, 1U)) == 0U) {
        return OURO_HAL_PENDING;
    }
    const bool is_low = (GPIO_IN & PIN(PULSE)) == 0U; /* a toggle lost or doubled would leave it high */
    GPIO_OUTCLR = ALL_SWITCHES;
    release_pulse_pin();
    *ticks_given = pulse_ticks;
    return is_low ? OURO_HAL_DONE : OURO_HAL_FAILED;
}

void board_safe(void)
{
    GPIO_OUTCLR = ALL_SWITCHES | PIN(PULSE); /* first the switches: what follows is behind them */
    release_pulse_pin();
    (void)set_selector(0U);
    (void)set_dac(MCP4822_PULSE, 0U);
    (void)set_dac(MCP4822_READ, 0U);
}
