/*
 * Arm MPS2(+) with FPGA image AN500: Cortex-M7 at 25 MHz, CMSDK peripherals, adapter for Arduino shields.
 *
 *   UART0        commands, 115200 baud               UART1          bench line
 *   D10, 11, 13  (EXP12, 13, 11) MCP4822 at the SPI of shield 0: A magnitude of the pulse voltage, B read voltage
 *   A0           AD7490 channel 0 (its SPI: EXP16 - 19), transimpedance amplifier
 *   D6           (EXP7) high while a pulse lasts; gates the driver's analogue switch
 *   D2, D3       (EXP2, 3) polarity of the driver: SET, RESET; D5 (EXP6) connects the read voltage
 *   EXP32 - 37   row, EXP38 - 43 column, EXP44 enables the selector: digital pins of shield 1
 *
 * All four switches need pull-downs: pins float during a reset. No timer of this image reaches a pin:
 * SysTick's interrupt ends the pulse, see systick_pulse.h.
 *
 * Arm AN500 (memory map, GPIO), DDI 0479 (CMSDK: APB timer, UART, watchdog, GPIO), DDI 0194 (PL022), AD7490 data sheet
 * (control register), ARMv7-M manual B3.3 (SysTick).
 */
#include "ouro_board.h"

#include "ouro_config.h"

#include "mcp4822.h"
#include "ouro_parts.h"
#include "pl022.h"
#include "registers.h"

#define CYCLES_PER_us 25U
#define CYCLES_PER_TICK CYCLES_PER_us
#define LEAD_CYCLES 25U
#include "systick_pulse.h"

#define TIMER0_CTRL REGISTER(0x40000000U)
#define TIMER0_VALUE REGISTER(0x40000004U)
#define TIMER0_RELOAD REGISTER(0x40000008U)
#define UART0 0x40004000U
#define UART1 0x40005000U
#define UART_DATA(base) REGISTER((base) + 0x00U)
#define UART_STATE(base) REGISTER((base) + 0x04U)
#define UART_CTRL(base) REGISTER((base) + 0x08U)
#define UART_BAUDDIV(base) REGISTER((base) + 0x10U)
#define WATCHDOG_LOAD REGISTER(0x40008000U)
#define WATCHDOG_CTRL REGISTER(0x40008008U)
#define WATCHDOG_INTCLR REGISTER(0x4000800CU)
#define WATCHDOG_LOCK REGISTER(0x40008C00U)
#define GPIO0 0x40010000U /* EXP0 - 15 */
#define GPIO1 0x40011000U /* EXP16 - 31 */
#define GPIO2 0x40012000U /* EXP32 - 47 */
#define GPIO_DATAOUT(base) REGISTER((base) + 0x04U)
#define GPIO_OUTENSET(base) REGISTER((base) + 0x10U)
#define GPIO_ALTFUNCSET(base) REGISTER((base) + 0x18U)
#define GPIO_ALTFUNCCLR(base) REGISTER((base) + 0x1CU)
#define GPIO_LOW_BYTE(base, pins) REGISTER((base) + 0x400U + (4U * (pins)))          /* writes these pins alone */
#define GPIO_HIGH_BYTE(base, pins) REGISTER((base) + 0x800U + (4U * ((pins) >> 8U))) /* the same of pins 8 - 15 */
#define ADC_SSP 0x40025000U
#define DAC_SSP 0x40026000U

#define UART_TX_FULL 0x1U
#define UART_RX_FULL 0x2U
#define UART_ON 0x3U           /* transmitter, receiver */
#define UART_DIVIDER 217U      /* 25 MHz / 115200 */
#define AD7490_CONTROL 0x8330U /* write, channel 0, normal power, 0 V to reference, straight binary */
#define SET_PIN 0x04U
#define RESET_PIN 0x08U
#define READ_PIN 0x40U
#define PULSE_PIN 0x80U
#define ALL_SWITCHES (SET_PIN | RESET_PIN | READ_PIN | PULSE_PIN)
#define DAC_SPI_PINS 0x6800U /* EXP11, 13, 14 */
#define DAC_SELECT 0x1000U   /* EXP12 */
#define ADC_SPI_PINS 0x000EU /* EXP17 - 19 */
#define ADC_SELECT 0x0001U   /* EXP16 */
#define SELECTOR_PINS 0x1FFFU
#define READ_SETTLE_us 10U
#define WATCHDOG_UNLOCK 0x1ACCE551U
#define WATCHDOG_CYCLES 25000000U /* 1 s, and the same again until it resets */

static uint32_t settle_begin, settle_cycles;
static ouro_average_t average;
static bool is_read_settling;

/* Switches one of ALL_SWITCHES at a time without touching the others, so that the handler may do it at any time. */
static void switch_pins(uint32_t pins, bool on)
{
    GPIO_LOW_BYTE(GPIO0, pins) = on ? pins : 0U;
}

static bool set_dac(uint32_t channel, uint32_t code)
{
    uint32_t ignored = 0U;

    GPIO_HIGH_BYTE(GPIO0, DAC_SELECT) = 0U;
    const bool is_sent = pl022_transfer(DAC_SSP, mcp4822_word(channel, code), &ignored);
    GPIO_HIGH_BYTE(GPIO0, DAC_SELECT) = DAC_SELECT;
    return is_sent;
}

/* The AD7490 samples when its select falls and sends the result in the same frame. */
static bool convert(uint32_t *code)
{
    uint32_t frame = 0U;

    GPIO_LOW_BYTE(GPIO1, ADC_SELECT) = 0U;
    const bool is_received = pl022_transfer(ADC_SSP, AD7490_CONTROL, &frame);
    GPIO_LOW_BYTE(GPIO1, ADC_SELECT) = ADC_SELECT;
    *code = frame & 0xFFFU; /* above it the channel */
    return is_received;
}

static void start_line(uint32_t uart)
{
    UART_BAUDDIV(uart) = UART_DIVIDER;
    UART_CTRL(uart) = UART_ON;
}

void board_init(void)
{
    uint32_t ignored = 0U;

    switch_pins(ALL_SWITCHES, false); /* off before they drive */
    GPIO_ALTFUNCCLR(GPIO0) = ALL_SWITCHES | DAC_SELECT;
    GPIO_OUTENSET(GPIO0) = ALL_SWITCHES;
    GPIO_DATAOUT(GPIO2) = 0U;
    GPIO_ALTFUNCCLR(GPIO2) = SELECTOR_PINS;
    GPIO_OUTENSET(GPIO2) = SELECTOR_PINS;
    GPIO_HIGH_BYTE(GPIO0, DAC_SELECT) = DAC_SELECT;
    GPIO_OUTENSET(GPIO0) = DAC_SELECT;
    GPIO_ALTFUNCSET(GPIO0) = DAC_SPI_PINS;
    GPIO_LOW_BYTE(GPIO1, ADC_SELECT) = ADC_SELECT;
    GPIO_ALTFUNCCLR(GPIO1) = ADC_SELECT;
    GPIO_OUTENSET(GPIO1) = ADC_SELECT;
    GPIO_ALTFUNCSET(GPIO1) = ADC_SPI_PINS;
    pl022_start(DAC_SSP, PL022_MODE_0, 4U); /* 6.25 MHz */
    pl022_start(ADC_SSP, PL022_MODE_2, 4U); /* the AD7490 changes its output after the falling edge */
    (void)convert(&ignored);                /* the first results after power-up are none */
    (void)convert(&ignored);
    start_line(UART0);
    start_line(UART1);
    TIMER0_RELOAD = 0xFFFFFFFFU; /* counts cycles down for ever */
    TIMER0_VALUE = 0xFFFFFFFFU;
    TIMER0_CTRL = 1U;
    board_safe();
    WATCHDOG_LOCK = WATCHDOG_UNLOCK;
    WATCHDOG_LOAD = WATCHDOG_CYCLES;
    WATCHDOG_CTRL = 3U; /* counts; the second time-out resets */
    WATCHDOG_LOCK = 0U;
}

void board_watchdog_kick(void)
{
    WATCHDOG_LOCK = WATCHDOG_UNLOCK;
    WATCHDOG_INTCLR = 1U; /* reloads it too */
    WATCHDOG_LOCK = 0U;
}

bool board_line_receive(board_line_t line, uint8_t *byte)
{
    const uint32_t base = (line == BOARD_HOST_LINE) ? UART0 : UART1;

    if ((UART_STATE(base) & UART_RX_FULL) == 0U) {
        return false;
    }
    *byte = (uint8_t)UART_DATA(base);
    return true;
}

bool board_line_send(board_line_t line, uint8_t byte)
{
    const uint32_t base = (line == BOARD_HOST_LINE) ? UART0 : UART1;

    if ((UART_STATE(base) & UART_TX_FULL) != 0U) {
        return false;
    }
    UART_DATA(base) = byte;
    return true;
}

bool board_select(uint16_t row, uint16_t column)
{
    GPIO_DATAOUT(GPIO2) = 0U;
    GPIO_DATAOUT(GPIO2) = ouro_selector_word(row, column);
    return ouro_selector_word(row, column) != 0U;
}

int32_t board_set_v(int32_t v_uV)
{
    switch_pins(ALL_SWITCHES, false);
    return set_dac(MCP4822_PULSE, ouro_dac_code(v_uV)) ? ouro_dac_v_uV(v_uV) : 0;
}

void board_settle_start(uint32_t us)
{
    settle_begin = TIMER0_VALUE;
    settle_cycles = us * CYCLES_PER_us;
}

ouro_hal_progress_t board_settle_poll(void)
{
    return ((settle_begin - TIMER0_VALUE) >= settle_cycles) ? OURO_HAL_DONE : OURO_HAL_PENDING;
}

void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    if (set_dac(MCP4822_READ, ouro_dac_code(v_read_uV))) { /* if not, the reading is an open input's: saturated */
        switch_pins(READ_PIN, true);
    }
    ouro_average_start(&average, n_avg);
    is_read_settling = true;
    board_settle_start(READ_SETTLE_us);
}

ouro_hal_progress_t board_read_poll(ouro_reading_t *reading)
{
    uint32_t code = 0U;

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
    switch_pins(READ_PIN, false);
    return set_dac(MCP4822_READ, 0U) ? OURO_HAL_DONE : OURO_HAL_FAILED;
}

static void switch_pulse(bool on)
{
    switch_pins(PULSE_PIN, on);
}

void board_pulse_start(ouro_direction_t direction, uint32_t ticks)
{
    switch_pins((direction == OURO_SET) ? SET_PIN : RESET_PIN, true);
    systick_pulse_start(ticks);
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if (!systick_pulse_take(ticks_given)) {
        return OURO_HAL_PENDING;
    }
    switch_pins(ALL_SWITCHES, false);
    return OURO_HAL_DONE;
}

void board_safe(void)
{
    switch_pins(ALL_SWITCHES, false); /* first the switches: what follows is behind them */
    systick_pulse_stop();
    GPIO_DATAOUT(GPIO2) = 0U;
    (void)set_dac(MCP4822_PULSE, 0U);
    (void)set_dac(MCP4822_READ, 0U);
}
