/*
 * SiFive HiFive1 Rev B: FE310-G002. FE310-G002 Manual v1p1; pins by the board's names.
 *
 *   USB      (GPIO 16, 17) UART0, commands, 115200 baud
 *   D2, D7   (GPIO 18, 23) UART1, bench line: sends on D2
 *   D17      (GPIO 11) high while a pulse lasts; gates the driver's analogue switch
 *   D8, D9   (GPIO 0, 1) polarity of the driver: SET, RESET
 *   D4       (GPIO 20) connects the read voltage
 *   D11 - 13 (GPIO 3, 4, 5) SPI1: data out, data in, clock of 0.8 MHz
 *   D10      (GPIO 2) an MCP4822: A magnitude of the pulse voltage, B read voltage
 *   D15      (GPIO 9) an MCP3201 of Microchip behind the transimpedance amplifier, DS21290
 *   D16      (GPIO 10) two 74HC595 in series, latch: bits 0 - 5 row, 6 - 11 column, 12 enables the selector
 *
 * The four switches need pull-downs: pins float during a reset. The pulse is PWM2's own: its one-shot mode ends it
 * whatever the processor does. It has 16 bits; longer pulses are counted in steps of some ticks, and their true length
 * is what board_pulse_poll() reports. Without its crystal the board selects no cell: its ticks would have another
 * length.
 */
#include "ouro_board.h"

#include "ouro_config.h"

#include "mcp4822.h"
#include "ouro_parts.h"
#include "registers.h"

#define AON_WDOGCFG REGISTER(0x10000000U) /* chapter 13 */
#define AON_WDOGFEED REGISTER(0x10000018U)
#define AON_WDOGKEY REGISTER(0x1000001CU)
#define AON_WDOGCMP REGISTER(0x10000020U)
#define PRCI_HFXOSCCFG 0x10008004U /* chapter 6 */
#define PRCI_PLLCFG REGISTER(0x10008008U)
#define GPIO_INPUT_EN REGISTER(0x10012004U) /* chapter 17 */
#define GPIO_OUTPUT_EN REGISTER(0x10012008U)
#define GPIO_OUTPUT_VAL REGISTER(0x1001200CU)
#define GPIO_PUE REGISTER(0x10012010U)
#define GPIO_IOF_EN REGISTER(0x10012038U)
#define GPIO_IOF_SEL REGISTER(0x1001203CU)
#define UART0 0x10013000U /* chapter 18 */
#define UART1 0x10023000U
#define UART_TXDATA(base) REGISTER((base) + 0x00U)
#define UART_RXDATA(base) REGISTER((base) + 0x04U)
#define UART_TXCTRL(base) REGISTER((base) + 0x08U)
#define UART_RXCTRL(base) REGISTER((base) + 0x0CU)
#define UART_DIV(base) REGISTER((base) + 0x18U)
#define SPI1_SCKDIV REGISTER(0x10024000U) /* chapter 19 */
#define SPI1_SCKMODE REGISTER(0x10024004U)
#define SPI1_CSMODE REGISTER(0x10024018U)
#define SPI1_FMT REGISTER(0x10024040U)
#define SPI1_TXDATA REGISTER(0x10024048U)
#define SPI1_RXDATA REGISTER(0x1002404CU)
#define PWM2_CFG REGISTER(0x10035000U) /* chapter 20 */
#define PWM2_COUNT REGISTER(0x10035008U)
#define PWM2_CMP0 REGISTER(0x10035020U)
#define PWM2_CMP1 REGISTER(0x10035024U)

#define PIN(number) (UINT32_C(1) << (number))
#define SET_PIN PIN(0U)
#define RESET_PIN PIN(1U)
#define DAC_SELECT PIN(2U)
#define SPI_PINS (PIN(3U) | PIN(4U) | PIN(5U))
#define ADC_SELECT PIN(9U)
#define SELECTOR_LATCH PIN(10U)
#define PULSE_PIN PIN(11U)
#define UART_PINS (PIN(16U) | PIN(17U) | PIN(18U) | PIN(23U))
#define RECEIVERS (PIN(16U) | PIN(23U))
#define READ_PIN PIN(20U)
#define ALL_SWITCHES (SET_PIN | RESET_PIN | READ_PIN)

#define CRYSTAL_ON PIN(30U)
#define CRYSTAL_READY PIN(31U)
#define PLL_FROM_CRYSTAL (PIN(17U) | PIN(18U)) /* its reference, the PLL itself bypassed */
#define PLL_SELECT PIN(16U)
#define UART_FULL PIN(31U) /* of what is sent; the same bit of what is received: empty */
#define UART_EMPTY PIN(31U)
#define UART_ON 1U
#define DIVIDER_115200 138U /* 16 MHz / 139 */
#define SPI_BYTES 0x80000U  /* 8 bits, most significant first */
#define SPI_EMPTY PIN(31U)
#define SPI_NO_SELECT 3U
#define SPI_DIVIDER 9U /* 16 MHz / 20: the MCP3201 takes 0.8 MHz at 2.7 V */
#define PWM_ZEROCMP PIN(9U)
#define PWM_ONE_SHOT PIN(13U)
#define PWM_COUNTS 0xFFFFU
#define WATCHDOG_KEY 0x51F15EU
#define WATCHDOG_FOOD 0xD09F00DU
#define WATCHDOG_RESETS (PIN(8U) | PIN(12U)) /* counts always, resets the chip */
#define READ_SETTLE_us 10U
#define CYCLES_PER_us 16U

static uint32_t settle_begin, settle_cycles;
static uint32_t pulse_ticks;
static ouro_average_t average;
static bool is_read_settling;
static bool is_clock_right; /* 16 MHz from the crystal */

/* Cycles of the core, modulo 2^32. */
static uint32_t cycles(void)
{
    uint32_t count;

    __asm__ volatile(".option push\n\t"
                     ".option arch, +zicsr\n\t"
                     "csrr %0, mcycle\n\t"
                     ".option pop"
                     : "=r"(count));
    return count;
}

/* Two bytes out and two in; false when the SPI does not answer. */
static bool exchange_word(uint32_t word, uint32_t *answer)
{
    *answer = 0U;
    for (uint32_t k = 0U; k < 2U; k++) {
        uint32_t received = SPI_EMPTY;

        SPI1_TXDATA = (k == 0U) ? (word >> 8U) : (word & 0xFFU);
        for (uint32_t i = 0U; (i < LOOKS_AT_A_BUS) && ((received & SPI_EMPTY) != 0U); i++) {
            received = SPI1_RXDATA;
        }
        if ((received & SPI_EMPTY) != 0U) {
            return false;
        }
        *answer = (*answer << 8U) | (received & 0xFFU);
    }
    return true;
}

static bool set_dac(uint32_t channel, uint32_t code)
{
    uint32_t nothing;

    GPIO_OUTPUT_VAL &= ~DAC_SELECT;
    const bool is_sent = exchange_word(mcp4822_word(channel, code), &nothing);
    GPIO_OUTPUT_VAL |= DAC_SELECT;
    return is_sent;
}

/* What the selected chips hear of it is nothing: each listens while selected only. */
static bool set_selector(uint32_t word)
{
    uint32_t nothing;
    const bool is_sent = exchange_word(word, &nothing);

    GPIO_OUTPUT_VAL |= SELECTOR_LATCH;
    GPIO_OUTPUT_VAL &= ~SELECTOR_LATCH;
    return is_sent;
}

/* The MCP3201 samples, then sends a null bit, twelve bits and one of them again. */
static bool convert(uint32_t *code)
{
    uint32_t word;

    GPIO_OUTPUT_VAL &= ~ADC_SELECT;
    const bool is_read = exchange_word(0U, &word);
    GPIO_OUTPUT_VAL |= ADC_SELECT;
    *code = (word >> 1U) & 0xFFFU;
    return is_read;
}

static void start_uart(uint32_t base)
{
    UART_DIV(base) = DIVIDER_115200;
    UART_TXCTRL(base) = UART_ON;
    UART_RXCTRL(base) = UART_ON;
}

static void start_watchdog(void)
{
    AON_WDOGKEY = WATCHDOG_KEY;
    AON_WDOGCMP = 65535U; /* 2 s of 32,768 Hz */
    AON_WDOGKEY = WATCHDOG_KEY;
    AON_WDOGFEED = WATCHDOG_FOOD;
    AON_WDOGKEY = WATCHDOG_KEY;
    AON_WDOGCFG = WATCHDOG_RESETS;
}

void board_init(void)
{
    GPIO_OUTPUT_VAL = DAC_SELECT | ADC_SELECT; /* before they drive */
    PWM2_CFG = 0U;
    PWM2_COUNT = 0U;
    PWM2_CMP1 = 1U; /* the pulse's output is high from there */
    GPIO_IOF_SEL = PULSE_PIN;
    GPIO_IOF_EN = PULSE_PIN | SPI_PINS | UART_PINS;
    GPIO_PUE = RECEIVERS;
    GPIO_INPUT_EN = RECEIVERS | PIN(4U);
    GPIO_OUTPUT_EN = ALL_SWITCHES | DAC_SELECT | ADC_SELECT | SELECTOR_LATCH;
    REGISTER(PRCI_HFXOSCCFG) = CRYSTAL_ON;
    is_clock_right = wait_for_bits(PRCI_HFXOSCCFG, CRYSTAL_READY, true, LOOKS_AT_A_CLOCK);
    PRCI_PLLCFG = PLL_FROM_CRYSTAL;
    PRCI_PLLCFG = PLL_FROM_CRYSTAL | PLL_SELECT;
    start_uart(UART0);
    start_uart(UART1);
    SPI1_SCKDIV = SPI_DIVIDER;
    SPI1_SCKMODE = 0U;
    SPI1_CSMODE = SPI_NO_SELECT;
    SPI1_FMT = SPI_BYTES;
    board_safe();
    start_watchdog();
}

void board_watchdog_kick(void)
{
    AON_WDOGKEY = WATCHDOG_KEY;
    AON_WDOGFEED = WATCHDOG_FOOD;
}

bool board_line_receive(board_line_t line, uint8_t *byte)
{
    const uint32_t received = UART_RXDATA((line == BOARD_HOST_LINE) ? UART0 : UART1);

    *byte = (uint8_t)received;
    return (received & UART_EMPTY) == 0U;
}

bool board_line_send(board_line_t line, uint8_t byte)
{
    const uint32_t base = (line == BOARD_HOST_LINE) ? UART0 : UART1;

    if ((UART_TXDATA(base) & UART_FULL) != 0U) {
        return false;
    }
    UART_TXDATA(base) = byte;
    return true;
}

bool board_select(uint16_t row, uint16_t column)
{
    const uint32_t word = is_clock_right ? ouro_selector_word(row, column) : 0U;

    return set_selector(word) && (word != 0U);
}

int32_t board_set_v(int32_t v_uV)
{
    GPIO_OUTPUT_VAL &= ~ALL_SWITCHES;
    return set_dac(MCP4822_PULSE, ouro_dac_code(v_uV)) ? ouro_dac_v_uV(v_uV) : 0;
}

void board_settle_start(uint32_t us)
{
    settle_begin = cycles();
    settle_cycles = us * CYCLES_PER_us;
}

ouro_hal_progress_t board_settle_poll(void)
{
    return ((cycles() - settle_begin) >= settle_cycles) ? OURO_HAL_DONE : OURO_HAL_PENDING;
}

void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    if (set_dac(MCP4822_READ, ouro_dac_code(v_read_uV))) { /* if not, the reading is an open input's: saturated */
        GPIO_OUTPUT_VAL |= READ_PIN;
    }
    ouro_average_start(&average, n_avg);
    is_read_settling = true;
    board_settle_start(READ_SETTLE_us);
}

ouro_hal_progress_t board_read_poll(ouro_reading_t *reading)
{
    uint32_t code;

    if (is_read_settling) {
        is_read_settling = board_settle_poll() != OURO_HAL_DONE;
        return OURO_HAL_PENDING;
    }
    if (!convert(&code)) {
        return OURO_HAL_FAILED;
    }
    if (!ouro_average_take(&average, code, reading)) {
        return OURO_HAL_PENDING;
    }
    GPIO_OUTPUT_VAL &= ~READ_PIN;
    return set_dac(MCP4822_READ, 0U) ? OURO_HAL_DONE : OURO_HAL_FAILED;
}

/* PWM2 counts to compare 0 and is back at 0 a tick later, whatever the step: high from count 1 to that tick. */
void board_pulse_start(ouro_direction_t direction, uint32_t ticks)
{
    uint32_t scale = 0U; /* a count is 2^scale ticks */

    while ((((ticks - 1U) >> scale) + 2U) > PWM_COUNTS) {
        scale++;
    }

    const uint32_t half = (UINT32_C(1) << scale) >> 1U;
    const uint32_t steps = (ticks - 1U + half) >> scale;

    pulse_ticks = (steps << scale) + 1U;
    GPIO_OUTPUT_VAL |= (direction == OURO_SET) ? SET_PIN : RESET_PIN;
    PWM2_CFG = 0U;
    PWM2_COUNT = 0U;
    PWM2_CMP0 = steps + 1U;
    PWM2_CFG = scale | PWM_ZEROCMP | PWM_ONE_SHOT;
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if ((PWM2_CFG & PWM_ONE_SHOT) != 0U) {
        return OURO_HAL_PENDING;
    }
    GPIO_OUTPUT_VAL &= ~ALL_SWITCHES;
    *ticks_given = pulse_ticks;
    return OURO_HAL_DONE;
}

void board_safe(void)
{
    GPIO_OUTPUT_VAL &= ~ALL_SWITCHES; /* first the switches: what follows is behind them */
    PWM2_CFG = 0U;
    PWM2_COUNT = 0U; /* below compare 1: output low */
    (void)set_selector(0U);
    (void)set_dac(MCP4822_PULSE, 0U);
    (void)set_dac(MCP4822_READ, 0U);
}
