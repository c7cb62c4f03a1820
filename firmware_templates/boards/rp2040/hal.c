/*
 * RP2040, as on a Raspberry Pi Pico. RP2040 datasheet; pins are GPIO numbers.
 *
 *   0, 1         UART0, commands, 115200 baud; the bench line shares it
 *   2, 3, 5      SPI0 clock, data, select of an MCP4822: A magnitude of the pulse voltage, B read voltage
 *   6 - 11       row, 12 - 17 column, 18 enables the selector
 *   19           high while a pulse lasts; gates the driver's analogue switch
 *   20, 21       polarity of the driver: SET, RESET
 *   22           connects the read voltage
 *   26           ADC input 0, transimpedance amplifier
 *
 * The four switches need pull-downs; the chip's own, some 50 kOhm, are on from a reset on. The pulse is a state
 * machine's of PIO, which counts it whatever the processor does: one instruction raises the pin, one counts a clock
 * period at a time, one lowers it. Without its crystal the board selects no cell: its ticks would have another length.
 */
#include "ouro_board.h"

#include "ouro_config.h"

#include "mcp4822.h"
#include "ouro_parts.h"
#include "ouro_shared_line.h"
#include "pl022.h"
#include "registers.h"
#include "rp2040_boot2.h"
#include "target_hooks.h"

#define CLK_REF_CTRL REGISTER(0x40008030U) /* 2.15.7 */
#define CLK_REF_SELECTED 0x40008038U
#define CLK_SYS_CTRL REGISTER(0x4000803CU)
#define CLK_SYS_SELECTED 0x40008044U
#define CLK_PERI_CTRL REGISTER(0x40008048U)
#define CLK_ADC_CTRL REGISTER(0x40008060U)
#define RESETS_CLEAR REGISTER(0x4000F000U) /* 2.14.3; the alias that clears bits, 2.1.2 */
#define RESETS_DONE 0x4000C008U
#define PSM_WDSEL REGISTER(0x40010008U)                        /* 2.13.5 */
#define PIN_FUNCTION(pin) REGISTER(0x40014004U + (8U * (pin))) /* 2.19.6.1 */
#define PAD(pin) REGISTER(0x4001C004U + (4U * (pin)))          /* 2.19.6.3 */
#define XOSC_CTRL REGISTER(0x40024000U)                        /* 2.16.7 */
#define XOSC_STATUS 0x40024004U
#define XOSC_STARTUP REGISTER(0x4002400CU)
#define PLL_SYS 0x40028000U /* 2.18.4 */
#define PLL_USB 0x4002C000U
#define PLL_PWR(base) REGISTER((base) + 0x04U)
#define PLL_FBDIV(base) REGISTER((base) + 0x08U)
#define PLL_PRIM(base) REGISTER((base) + 0x0CU)
#define UART_DR REGISTER(0x40034000U) /* 4.2.8 */
#define UART_FR REGISTER(0x40034018U)
#define UART_IBRD REGISTER(0x40034024U)
#define UART_FBRD REGISTER(0x40034028U)
#define UART_LCR_H REGISTER(0x4003402CU)
#define UART_CR REGISTER(0x40034030U)
#define SPI0 0x4003C000U
#define ADC_CS REGISTER(0x4004C000U) /* 4.9.6 */
#define ADC_RESULT REGISTER(0x4004C004U)
#define TIME_us REGISTER(0x40054028U)       /* 4.6.5, TIMERAWL */
#define WATCHDOG_CTRL REGISTER(0x40058000U) /* 4.7.6 */
#define WATCHDOG_LOAD REGISTER(0x40058004U)
#define WATCHDOG_TICK REGISTER(0x4005802CU)
#define PIO_CTRL REGISTER(0x50200000U) /* 3.7 */
#define PIO_TXF0 REGISTER(0x50200010U)
#define PIO_IRQ REGISTER(0x50200030U)
#define PIO_MEMORY(k) REGISTER(0x50200048U + (4U * (k)))
#define SM0_CLKDIV REGISTER(0x502000C8U)
#define SM0_EXECCTRL REGISTER(0x502000CCU)
#define SM0_SHIFTCTRL REGISTER(0x502000D0U)
#define SM0_INSTR REGISTER(0x502000D8U)
#define SM0_PINCTRL REGISTER(0x502000DCU)
#define GPIO_OUT_SET REGISTER(0xD0000014U) /* 2.3.1.7 */
#define GPIO_OUT_CLR REGISTER(0xD0000018U)
#define GPIO_OE_SET REGISTER(0xD0000024U)

#define PIN(number) (1UL << (number))
#define PULSE 19U
#define SET_PIN PIN(20U)
#define RESET_PIN PIN(21U)
#define READ_PIN PIN(22U)
#define ALL_SWITCHES (SET_PIN | RESET_PIN | READ_PIN)
#define DAC_SELECT PIN(5U)
#define SELECTOR_FIRST 6U
#define SELECTOR_PINS (0x1FFFUL << SELECTOR_FIRST)
#define ADC_PIN 26U
#define OUTPUTS (ALL_SWITCHES | DAC_SELECT | SELECTOR_PINS)
#define FUNCTION_SPI 1U
#define FUNCTION_UART 2U
#define FUNCTION_SIO 5U
#define FUNCTION_PIO0 6U
#define PAD_PULL_UP 0x5AU          /* as after a reset, but up */
#define PAD_ANALOGUE 0x80U         /* output off, input buffer and pulls too */
#define PINS_AND_PIO 0x00000520U   /* of RESETS: pads and functions of pins, PIO 0 */
#define PLLS_AND_TIMER 0x00203000U /* both PLLs, timer */
#define CLOCKED_APART 0x00410001U  /* UART 0, SPI 0, ADC: out of their reset with their clocks only */
#define BUSY_READING 0x10U         /* UART: nothing received */
#define BUSY_SENDING 0x20U         /* UART: its queue is full */
#define ADC_READY 0x100U
#define ADC_ERROR 0x200U
#define ADC_ON 0x1U
#define ADC_START 0x5U
#define WATCHDOG_us 2000000U
#define WATCHDOG_ALL 0x1FFFCU /* all but the oscillators */
#define READ_SETTLE_us 10U

#define PIO_PULL 0x80A0U      /* 0: pull block  waits for a count */
#define PIO_COUNT 0xA027U     /* 1: mov x, osr */
#define PIO_PIN_HIGH 0xE001U  /* 2: set pins, 1 */
#define PIO_WAIT 0x0043U      /* 3: jmp x--, 3  x + 1 periods */
#define PIO_PIN_LOW 0xE000U   /* 4: set pins, 0 */
#define PIO_TELL 0xC000U      /* 5: irq set 0 */
#define PIO_JUMP_0 0x0000U    /* jmp 0 */
#define PIO_DIRECTION 0xE081U /* set pindirs, 1 */
#define PIO_LENGTH 6U
#define PIO_OVERHEAD 2U /* periods from one edge to the other when x is 0 */

static ouro_shared_line_t shared;
static uint32_t settle_begin_us, settle_us;
static uint32_t pulse_ticks;
static ouro_average_t average;
static bool is_read_settling;
static bool is_clock_right; /* 125 MHz from the crystal */

/* A reset of the core alone would leave PIO and pins as they are: the watchdog resets them too. */
void target_reset_chip(void)
{
    PSM_WDSEL = WATCHDOG_ALL;
    WATCHDOG_CTRL = 0x80000000U;
}

/* End what the state machine does and leave it at its first instruction, with nothing to count and its pin low. */
static void stop_pulse(void)
{
    SM0_INSTR = PIO_PIN_LOW; /* at once, whatever it was doing */
    PIO_CTRL = 0x10U;        /* off; forgets a stalled instruction */
    SM0_INSTR = PIO_PIN_LOW;
    SM0_SHIFTCTRL = 0x800C0000U; /* another arrangement of the queues empties them, 3.7 SHIFTCTRL */
    SM0_SHIFTCTRL = 0x000C0000U;
    SM0_INSTR = PIO_JUMP_0;
    PIO_IRQ = 1U;
}

static void start_pulse_machine(void)
{
    static const uint32_t program[PIO_LENGTH] = {PIO_PULL, PIO_COUNT, PIO_PIN_HIGH, PIO_WAIT, PIO_PIN_LOW, PIO_TELL};

    for (uint32_t k = 0U; k < PIO_LENGTH; k++) {
        PIO_MEMORY(k) = program[k];
    }
    SM0_CLKDIV = 0x10000U;                      /* every clock period */
    SM0_EXECCTRL = (PIO_LENGTH - 1U) << 12U;    /* from the last instruction to the first */
    SM0_PINCTRL = (1UL << 26U) | (PULSE << 5U); /* `set` moves one pin, this */
    stop_pulse();
    SM0_INSTR = PIO_DIRECTION;
    PIN_FUNCTION(PULSE) = FUNCTION_PIO0;
}

/* VCO 12 MHz * feedback, over both dividers. */
static bool start_pll(uint32_t pll, uint32_t feedback, uint32_t dividers)
{
    PLL_FBDIV(pll) = feedback;
    PLL_PWR(pll) = 0x0CU; /* VCO on; dividers, fractions off */
    const bool is_locked = wait_for_bits(pll, 0x80000000U, true, LOOKS_AT_A_CLOCK);
    PLL_PRIM(pll) = dividers;
    PLL_PWR(pll) = 0x04U;
    return is_locked;
}

static bool start_clocks(void)
{
    XOSC_STARTUP = 47U;      /* 1 ms of 12 MHz in steps of 256 periods */
    XOSC_CTRL = 0x00FABAA0U; /* on, 1 - 15 MHz */
    if (!wait_for_bits(XOSC_STATUS, 0x80000000U, true, LOOKS_AT_A_CLOCK)) {
        return false;
    }
    CLK_REF_CTRL = 2U; /* crystal */
    const bool is_referenced = wait_for_bits(CLK_REF_SELECTED, 4U, true, LOOKS_AT_A_CLOCK);
    WATCHDOG_TICK = 0x200U | 12U;                                                   /* 1 us: timer and watchdog */
    const bool is_fast = start_pll(PLL_SYS, 125U, (6UL << 16U) | (2UL << 12U));     /* 1500 MHz / 12 */
    const bool is_adc_fast = start_pll(PLL_USB, 100U, (5UL << 16U) | (5UL << 12U)); /* 1200 MHz / 25 = 48 MHz */
    if (!is_referenced || !is_fast || !is_adc_fast) {
        return false;
    }
    CLK_SYS_CTRL = 0U; /* the reference; PLL as the other source */
    CLK_SYS_CTRL = 1U; /* and now that */
    CLK_ADC_CTRL = 0x800U;
    return wait_for_bits(CLK_SYS_SELECTED, 2U, true, LOOKS_AT_A_CLOCK);
}

static void start_uart(void)
{
    UART_IBRD = 67U; /* 125 MHz / (16 * 115200) = 67 + 52 / 64 */
    UART_FBRD = 52U;
    UART_LCR_H = 0x70U; /* 8 bits, queues */
    UART_CR = 0x301U;
    PAD(1U) = PAD_PULL_UP;
    PIN_FUNCTION(0U) = FUNCTION_UART;
    PIN_FUNCTION(1U) = FUNCTION_UART;
}

static bool set_dac(uint32_t channel, uint32_t code)
{
    uint32_t ignored = 0U;

    GPIO_OUT_CLR = DAC_SELECT;
    const bool is_sent = pl022_transfer(SPI0, mcp4822_word(channel, code), &ignored);
    GPIO_OUT_SET = DAC_SELECT;
    return is_sent;
}

void board_init(void)
{
    RESETS_CLEAR = PINS_AND_PIO;
    (void)wait_for_bits(RESETS_DONE, PINS_AND_PIO, true, LOOKS_AT_A_CLOCK);
    GPIO_OUT_CLR = ALL_SWITCHES | SELECTOR_PINS; /* off before they drive */
    GPIO_OUT_SET = DAC_SELECT;
    GPIO_OE_SET = OUTPUTS;
    for (uint32_t pin = 0U; pin < 30U; pin++) {
        if ((OUTPUTS & PIN(pin)) != 0U) {
            PIN_FUNCTION(pin) = FUNCTION_SIO;
        }
    }
    start_pulse_machine();
    RESETS_CLEAR = PLLS_AND_TIMER;
    (void)wait_for_bits(RESETS_DONE, PLLS_AND_TIMER, true, LOOKS_AT_A_CLOCK);
    is_clock_right = start_clocks();
    CLK_PERI_CTRL = 0x800U; /* the processor's clock for UART and SPI */
    RESETS_CLEAR = CLOCKED_APART;
    (void)wait_for_bits(RESETS_DONE, CLOCKED_APART, true, LOOKS_AT_A_CLOCK);
    start_uart();
    pl022_start(SPI0, PL022_MODE_0, 8U); /* 15.6 MHz */
    PIN_FUNCTION(2U) = FUNCTION_SPI;
    PIN_FUNCTION(3U) = FUNCTION_SPI;
    PAD(ADC_PIN) = PAD_ANALOGUE;
    ADC_CS = ADC_ON;
    is_clock_right = wait_for_bits(0x4004C000U, ADC_READY, true, LOOKS_AT_A_CLOCK) && is_clock_right;
    board_safe();
    PSM_WDSEL = WATCHDOG_ALL;
    board_watchdog_kick();
    WATCHDOG_CTRL = 0x47000000U; /* counts, but not while a debugger halts the chip */
}

void board_watchdog_kick(void)
{
    WATCHDOG_LOAD = 2U * WATCHDOG_us; /* it counts every microsecond twice: erratum RP2040-E1 */
}

bool board_line_receive(board_line_t line, uint8_t *byte)
{
    if (ouro_shared_wants(&shared, line) && ((UART_FR & BUSY_READING) == 0U)) {
        ouro_shared_put(&shared, (uint8_t)UART_DR);
    }
    return ouro_shared_take(&shared, line, byte);
}

bool board_line_send(board_line_t line, uint8_t byte)
{
    if ((UART_FR & BUSY_SENDING) != 0U) {
        return false;
    }
    UART_DR = ouro_shared_mark(line, byte);
    return true;
}

bool board_select(uint16_t row, uint16_t column)
{
    const uint32_t word = is_clock_right ? ouro_selector_word(row, column) : 0U;

    GPIO_OUT_CLR = SELECTOR_PINS;
    GPIO_OUT_SET = word << SELECTOR_FIRST;
    return word != 0U;
}

int32_t board_set_v(int32_t v_uV)
{
    GPIO_OUT_CLR = ALL_SWITCHES;
    return set_dac(MCP4822_PULSE, ouro_dac_code(v_uV)) ? ouro_dac_v_uV(v_uV) : 0;
}

void board_settle_start(uint32_t us)
{
    settle_begin_us = TIME_us;
    settle_us = us;
}

ouro_hal_progress_t board_settle_poll(void)
{
    return ((TIME_us - settle_begin_us) >= settle_us) ? OURO_HAL_DONE : OURO_HAL_PENDING;
}

void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    if (set_dac(MCP4822_READ, ouro_dac_code(v_read_uV))) { /* if not, the reading is an open input's: saturated */
        GPIO_OUT_SET = READ_PIN;
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
            ADC_CS = ADC_START;
        }
        return OURO_HAL_PENDING;
    }

    const uint32_t status = ADC_CS;

    if ((status & ADC_READY) == 0U) {
        return OURO_HAL_PENDING;
    }
    if ((status & ADC_ERROR) != 0U) {
        return OURO_HAL_FAILED;
    }
    if (!ouro_average_take(&average, ADC_RESULT & 0xFFFU, reading)) {
        ADC_CS = ADC_START;
        return OURO_HAL_PENDING;
    }
    GPIO_OUT_CLR = READ_PIN;
    return set_dac(MCP4822_READ, 0U) ? OURO_HAL_DONE : OURO_HAL_FAILED;
}

void board_pulse_start(ouro_direction_t direction, uint32_t ticks)
{
    pulse_ticks = ticks;
    stop_pulse();
    GPIO_OUT_SET = (direction == OURO_SET) ? SET_PIN : RESET_PIN;
    PIO_CTRL = 1U;
    PIO_TXF0 = ticks - PIO_OVERHEAD;
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if ((PIO_IRQ & 1U) == 0U) {
        return OURO_HAL_PENDING;
    }
    GPIO_OUT_CLR = ALL_SWITCHES;
    stop_pulse();
    *ticks_given = pulse_ticks;
    return OURO_HAL_DONE;
}

void board_safe(void)
{
    GPIO_OUT_CLR = ALL_SWITCHES; /* first the switches: what follows is behind them */
    stop_pulse();
    GPIO_OUT_CLR = SELECTOR_PINS;
    (void)set_dac(MCP4822_PULSE, 0U);
    (void)set_dac(MCP4822_READ, 0U);
}
