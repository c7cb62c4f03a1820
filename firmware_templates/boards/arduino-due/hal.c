/*
 * Arduino Due: SAM3X8E. Pins by the board's numbers.
 *
 *   programming port   UART, commands, 115200 baud      18, 19   USART0 (Serial1), bench line
 *   2        (PB25) high while a pulse lasts; gates the driver's analogue switch
 *   9, 8     (PC21, PC22) polarity of the driver: SET, RESET
 *   7        (PC23) connects the read voltage
 *   SPI      clock and data (the header in the middle), 6 (PC24) select of an MCP4822: A magnitude of the pulse
 * voltage, B read voltage A0       ADC channel 7, transimpedance amplifier 33 - 38  (PC1 - PC6) row, 51 - 46 (PC12 -
 * PC17) column, 45 (PC18) enables the selector
 *
 * A reset turns the chip's pull-ups on, some 100 kOhm: the four switches need pull-downs that win. The pulse is TC0's
 * own, in one-shot mode, whatever the processor does. Without its crystal the board selects no cell: its ticks would
 * have another length.
 *
 * SAM3X data sheet (Atmel 11057), chapters 32 SPI, 36 TC.
 */
#include "ouro_board.h"

#include "ouro_config.h"

#include "arduino_due.h"
#include "mcp4822.h"
#include "ouro_parts.h"

#define SPI_CR REGISTER(0x40008000U)
#define SPI_MR REGISTER(0x40008004U)
#define SPI_RDR REGISTER(0x40008008U)
#define SPI_TDR REGISTER(0x4000800CU)
#define SPI_SR 0x40008010U
#define SPI_CSR0 REGISTER(0x40008030U)
#define TC_CCR REGISTER(0x40080000U)
#define TC_CMR REGISTER(0x40080004U)
#define TC_RA REGISTER(0x40080014U)
#define TC_RC REGISTER(0x4008001CU)
#define TC_SR REGISTER(0x40080020U)

#define PULSE_PIN (1UL << 25U) /* port B */
#define SET_PIN (1UL << 21U)   /* the others port C */
#define RESET_PIN (1UL << 22U)
#define READ_PIN (1UL << 23U)
#define ALL_SWITCHES (SET_PIN | RESET_PIN | READ_PIN)
#define DAC_SELECT (1UL << 24U)
#define SELECTOR_PINS 0x0007F07EUL             /* 1 - 6, 12 - 18 */
#define SPI_PINS ((1UL << 26U) | (1UL << 27U)) /* port A: data, clock */
#define ANALOGUE_PIN (1UL << 16U)              /* port A */
#define ADC_CHANNEL 7U
#define SPI_RDRF 0x1U
/* One shot from MCK / 2: low from the start, high from RA on, low again and stopped at RC. */
#define TC_ONE_SHOT 0x008980C0U
#define TC_START 0x5U /* CLKEN, SWTRG */
#define TC_STOP 0x2U  /* CLKDIS */
#define TC_RUNS 0x10000U
#define PULSE_BEGIN 4U
#define NEVER 0xFFFFFFFFU
#define READ_SETTLE_us 10U

static uint32_t pulse_ticks;
static ouro_average_t average;
static bool is_read_settling;

static bool set_dac(uint32_t channel, uint32_t code)
{
    PIO_CODR(PIOC) = DAC_SELECT;
    SPI_TDR = mcp4822_word(channel, code);
    const bool is_sent = wait_for_bits(SPI_SR, SPI_RDRF, true, LOOKS_AT_A_BUS);
    (void)SPI_RDR;
    PIO_SODR(PIOC) = DAC_SELECT;
    return is_sent;
}

/* The pin is the port's, and low; the timer's output is low for the next time. */
static void release_pulse_pin(void)
{
    PIO_PER(PIOB) = PULSE_PIN;
    TC_RA = NEVER;
    TC_RC = NEVER;
    TC_CCR = TC_START; /* clears the output with the timer's next clock */
    (void)TC_SR;       /* which is two of the processor's */
    TC_CCR = TC_STOP;
}

void board_init(void)
{
    PIO_CODR(PIOC) = ALL_SWITCHES | SELECTOR_PINS; /* off before they drive */
    PIO_CODR(PIOB) = PULSE_PIN;
    PIO_SODR(PIOC) = DAC_SELECT;
    make_outputs(PIOC, ALL_SWITCHES | SELECTOR_PINS | DAC_SELECT);
    make_outputs(PIOB, PULSE_PIN);
    PIO_PUDR(PIOA) = ANALOGUE_PIN;
    start_due((1UL << 24U) | (1UL << 27U), 0U); /* SPI0, TC0 */
    SPI_CR = 0x80U;                             /* reset */
    SPI_MR = 0x11U;                             /* master */
    SPI_CSR0 = 0x682U;                          /* 14 MHz, 16 bits, mode 0 */
    SPI_CR = 0x1U;
    PIO_PDR(PIOA) = SPI_PINS; /* peripheral A, as after a reset */
    TC_CMR = TC_ONE_SHOT;
    PIO_ABSR(PIOB) = PULSE_PIN; /* peripheral B when it is the timer's */
    board_safe();
    start_watchdog();
}

bool board_select(uint16_t row, uint16_t column)
{
    const uint32_t word = is_clock_right ? ouro_selector_word(row, column) : 0U;

    PIO_CODR(PIOC) = SELECTOR_PINS;
    PIO_SODR(PIOC) = ((word & 0x3FU) << 1U) | ((word >> 6U) << 12U);
    return word != 0U;
}

int32_t board_set_v(int32_t v_uV)
{
    PIO_CODR(PIOC) = ALL_SWITCHES;
    return set_dac(MCP4822_PULSE, ouro_dac_code(v_uV)) ? ouro_dac_v_uV(v_uV) : 0;
}

void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    if (set_dac(MCP4822_READ, ouro_dac_code(v_read_uV))) { /* if not, the reading is an open input's: saturated */
        PIO_SODR(PIOC) = READ_PIN;
    }
    ouro_average_start(&average, n_avg);
    is_read_settling = true;
    board_settle_start(READ_SETTLE_us);
}

ouro_hal_progress_t board_read_poll(ouro_reading_t *reading)
{
    uint32_t code = 0U;

    if (is_read_settling) {
        if (board_settle_poll() == OURO_HAL_DONE) {
            is_read_settling = false;
            start_conversion(ADC_CHANNEL);
        }
        return OURO_HAL_PENDING;
    }
    if (!take_conversion(ADC_CHANNEL, &code)) {
        return OURO_HAL_PENDING;
    }
    if (!ouro_average_take(&average, code, reading)) {
        start_conversion(ADC_CHANNEL);
        return OURO_HAL_PENDING;
    }
    PIO_CODR(PIOC) = READ_PIN;
    return set_dac(MCP4822_READ, 0U) ? OURO_HAL_DONE : OURO_HAL_FAILED;
}

void board_pulse_start(ouro_direction_t direction, uint32_t ticks)
{
    pulse_ticks = ticks;
    release_pulse_pin();
    PIO_SODR(PIOC) = (direction == OURO_SET) ? SET_PIN : RESET_PIN;
    PIO_PDR(PIOB) = PULSE_PIN;
    TC_RA = PULSE_BEGIN;
    TC_RC = PULSE_BEGIN + ticks;
    TC_CCR = TC_START;
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if ((TC_SR & TC_RUNS) != 0U) {
        return OURO_HAL_PENDING;
    }
    PIO_CODR(PIOC) = ALL_SWITCHES;
    release_pulse_pin();
    *ticks_given = pulse_ticks;
    return OURO_HAL_DONE;
}

void board_safe(void)
{
    PIO_CODR(PIOC) = ALL_SWITCHES; /* first the switches: what follows is behind them */
    release_pulse_pin();
    PIO_CODR(PIOC) = SELECTOR_PINS;
    (void)set_dac(MCP4822_PULSE, 0U);
    (void)set_dac(MCP4822_READ, 0U);
}
