/*
 * Arduino Uno: ATmega328P. Data sheet DS40002061; pins by the board's names.
 *
 *   USB      (PD0, PD1) USART0, commands, 115200 baud; the bench line shares it
 *   D10      (PB2, OC1B) high while a pulse lasts; gates the driver's analogue switch
 *   D2, D4   (PD2, PD4) polarity of the driver: SET, RESET
 *   D7       (PD7) connects the read voltage
 *   A0       (PC0, ADC0) transimpedance amplifier, 0 V to the board's 5 V
 *   D11, D13 (PB3, PB5) SPI data and clock, 4 MHz, to both
 *   D8       (PB0) an MCP4822: A magnitude of the pulse voltage, B read voltage
 *   D9       (PB1) two 74HC595 in series, latch: bits 0 - 5 row, 6 - 11 column, 12 enables the selector
 *
 * The four switches need pull-downs: pins float during a reset. The pulse is Timer 1's own: in fast PWM mode with 0 as
 * its top the timer rests at 0 with the output low; once set beyond, it counts to its end, the output is high from
 * compare B to there, and it rests again, whatever the processor does. Its clock is the board's 16 MHz resonator: the
 * fuses select it alone, and without it nothing runs.
 */
#include "ouro_board.h"

#include "ouro_config.h"

#include "mcp4822.h"
#include "ouro_parts.h"
#include "ouro_shared_line.h"

#define BYTE(address) (*(volatile uint8_t *)(address))
#define WORD(address) (*(volatile uint16_t *)(address))

#define PINB BYTE(0x23U) /* chapter 14 */
#define DDRB BYTE(0x24U)
#define PORTB BYTE(0x25U)
#define DDRD BYTE(0x2AU)
#define PORTD BYTE(0x2BU)
#define TCCR0B BYTE(0x45U) /* chapter 15 */
#define TCNT0 BYTE(0x46U)
#define SPCR BYTE(0x4CU) /* chapter 19 */
#define SPSR BYTE(0x4DU)
#define SPDR BYTE(0x4EU)
#define MCUSR BYTE(0x54U)  /* chapter 11 */
#define WDTCSR BYTE(0x60U) /* chapter 11 */
#define ADCW WORD(0x78U)   /* chapter 24 */
#define ADCSRA BYTE(0x7AU)
#define ADMUX BYTE(0x7CU)
#define TCCR1A BYTE(0x80U) /* chapter 16 */
#define TCCR1B BYTE(0x81U)
#define TCCR1C BYTE(0x82U)
#define TCNT1 WORD(0x84U)
#define OCR1A WORD(0x88U)
#define OCR1B WORD(0x8AU)
#define UCSR0A BYTE(0xC0U) /* chapter 20 */
#define UCSR0B BYTE(0xC1U)
#define UBRR0 WORD(0xC4U)
#define UDR0 BYTE(0xC6U)

#define DAC_SELECT 0x01U /* port B */
#define SELECTOR_LATCH 0x02U
#define PULSE_PIN 0x04U
#define SPI_OUTPUTS 0x28U
#define SET_PIN 0x04U /* port D */
#define RESET_PIN 0x10U
#define READ_PIN 0x80U
#define ALL_SWITCHES (SET_PIN | RESET_PIN | READ_PIN)
#define TURN_ON(port, bits) ((port) = (uint8_t)((port) | (bits)))
#define TURN_OFF(port, bits) ((port) = (uint8_t)((port) & (0xFFU ^ (bits))))

#define USART_DOUBLE 0x02U
#define USART_RECEIVED 0x80U
#define USART_READY 0x20U
#define USART_ON 0x18U
#define DIVIDER_115200 16U /* 16 MHz / 8 / 17: 2.1 % fast, as the board's own firmware has it */
#define SPI_ON 0x50U       /* master, mode 0, 4 MHz, most significant bit first */
#define SPI_DONE 0x80U
#define LOOKS_AT_A_BUS 1000U
#define ADC_5_V_INPUT_0 0x40U
#define ADC_ON 0x87U /* 125 kHz */
#define ADC_CONVERTING 0x40U
#define TIMER_0_64_us 0x05U
#define CLEAR_AT_COMPARE 0x20U
#define FORCE_COMPARE_B 0x40U
#define PWM_SET_AT_COMPARE 0x33U /* mode 15, high from compare B until 0 */
#define PWM_STOPPED 0x18U
#define TICKS_OF_1 1U /* clock of Timer 1: each tick, or each eighth */
#define TICKS_OF_8 2U
#define MOST_COUNTS 65534U /* the timer must start beyond its top, 0 */
#define WATCHDOG_CHANGE 0x18U
#define WATCHDOG_2_S 0x0FU /* resets the chip */
#define READ_SETTLE_us 10U
#define us_PER_COUNT 64U

static ouro_shared_line_t shared;
static uint32_t settle_counts, waited_counts;
static uint8_t seen_count;
static uint32_t pulse_ticks;
static ouro_average_t average;
static bool is_read_settling;

/* Two bytes to whoever listens on the SPI; false when the SPI does not answer. */
static bool send_word(uint16_t word)
{
    for (uint8_t k = 0U; k < 2U; k++) {
        bool is_done = false;

        SPDR = (uint8_t)((k == 0U) ? (word >> 8U) : (word & 0xFFU));
        for (uint16_t i = 0U; (i < LOOKS_AT_A_BUS) && !is_done; i++) {
            is_done = (SPSR & SPI_DONE) != 0U;
        }
        if (!is_done) {
            return false;
        }
        (void)SPDR;
    }
    return true;
}

static bool set_dac(uint16_t channel, uint32_t code)
{
    TURN_OFF(PORTB, DAC_SELECT);
    const bool is_sent = send_word(mcp4822_word(channel, code));
    TURN_ON(PORTB, DAC_SELECT);
    return is_sent;
}

/* What the DAC hears of it is no word: it listens while selected only. */
static bool set_selector(uint16_t word)
{
    const bool is_sent = send_word(word);

    TURN_ON(PORTB, SELECTOR_LATCH);
    TURN_OFF(PORTB, SELECTOR_LATCH);
    return is_sent;
}

/* Output low and the timer at rest, from any state. */
static void stop_pulse(void)
{
    TCCR1B = 0U;
    TCCR1A = CLEAR_AT_COMPARE;
    TCCR1C = FORCE_COMPARE_B;
    TCNT1 = 0U;
}

static void set_watchdog(uint8_t control)
{
    WDTCSR = WATCHDOG_CHANGE;
    WDTCSR = control; /* within four cycles: the compilers' code takes one or two */
}

void board_init(void)
{
    MCUSR = 0U; /* after a reset by the watchdog it would stay on, at its shortest */
    set_watchdog(0U);
    PORTB = DAC_SELECT; /* before they drive */
    PORTD = 0x01U;      /* pull-up of the receiver */
    DDRB = DAC_SELECT | SELECTOR_LATCH | PULSE_PIN | SPI_OUTPUTS;
    DDRD = ALL_SWITCHES | 0x02U;
    SPCR = SPI_ON;
    UBRR0 = DIVIDER_115200;
    UCSR0A = USART_DOUBLE;
    UCSR0B = USART_ON;
    ADMUX = ADC_5_V_INPUT_0;
    ADCSRA = ADC_ON;
    TCCR0B = TIMER_0_64_us;
    board_safe();
    set_watchdog(WATCHDOG_2_S);
}

void board_watchdog_kick(void)
{
    __asm__ volatile("wdr");
}

bool board_line_receive(board_line_t line, uint8_t *byte)
{
    if (ouro_shared_wants(&shared, line) && ((UCSR0A & USART_RECEIVED) != 0U)) {
        ouro_shared_put(&shared, UDR0);
    }
    return ouro_shared_take(&shared, line, byte);
}

bool board_line_send(board_line_t line, uint8_t byte)
{
    if ((UCSR0A & USART_READY) == 0U) {
        return false;
    }
    UDR0 = ouro_shared_mark(line, byte);
    return true;
}

bool board_select(uint16_t row, uint16_t column)
{
    const uint32_t word = ouro_selector_word(row, column);

    return set_selector((uint16_t)word) && (word != 0U);
}

int32_t board_set_v(int32_t v_uV)
{
    TURN_OFF(PORTD, ALL_SWITCHES);
    return set_dac(MCP4822_PULSE, ouro_dac_code(v_uV)) ? ouro_dac_v_uV(v_uV) : 0;
}

void board_settle_start(uint32_t us)
{
    settle_counts = (us == 0U) ? 0U : ((us / us_PER_COUNT) + 2U); /* the present count has begun */
    waited_counts = 0U;
    seen_count = TCNT0;
}

ouro_hal_progress_t board_settle_poll(void)
{
    const uint8_t count = TCNT0;

    waited_counts += (uint8_t)(count - seen_count); /* polled more often than every 16 ms, or it waits longer */
    seen_count = count;
    return (waited_counts >= settle_counts) ? OURO_HAL_DONE : OURO_HAL_PENDING;
}

static void start_conversion(void)
{
    ADCSRA = ADC_ON | ADC_CONVERTING;
}

void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    if (set_dac(MCP4822_READ, ouro_dac_code(v_read_uV))) { /* if not, the reading is an open input's: saturated */
        TURN_ON(PORTD, READ_PIN);
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
    if ((ADCSRA & ADC_CONVERTING) != 0U) {
        return OURO_HAL_PENDING;
    }
    if (!ouro_average_take(&average, ADCW & 0x3FFU, reading)) {
        start_conversion();
        return OURO_HAL_PENDING;
    }
    TURN_OFF(PORTD, READ_PIN);
    return set_dac(MCP4822_READ, 0U) ? OURO_HAL_DONE : OURO_HAL_FAILED;
}

void board_pulse_start(ouro_direction_t direction, uint32_t ticks)
{
    const bool is_long = ticks > MOST_COUNTS;
    const uint16_t counts = (uint16_t)(is_long ? ((ticks + 4U) / 8U) : ticks);
    const uint16_t begin = (uint16_t)(0U - counts); /* 2^16 - counts */

    pulse_ticks = is_long ? (8U * (uint32_t)counts) : ticks;
    TURN_ON(PORTD, (direction == OURO_SET) ? SET_PIN : RESET_PIN);
    stop_pulse(); /* and registers are taken at once in its mode */
    OCR1A = 0U;
    OCR1B = begin;
    TCNT1 = (uint16_t)(begin - 1U);
    TCCR1A = PWM_SET_AT_COMPARE;
    TCCR1B = PWM_STOPPED;
    OCR1A = 0U; /* again: in this mode they are taken when the timer is back at 0 */
    OCR1B = begin;
    TCCR1B = PWM_STOPPED | (is_long ? TICKS_OF_8 : TICKS_OF_1);
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if (TCNT1 != 0U) {
        return OURO_HAL_PENDING;
    }
    const bool is_low = (PINB & PULSE_PIN) == 0U;
    TURN_OFF(PORTD, ALL_SWITCHES);
    stop_pulse();
    *ticks_given = pulse_ticks;
    return is_low ? OURO_HAL_DONE : OURO_HAL_FAILED;
}

void board_safe(void)
{
    TURN_OFF(PORTD, ALL_SWITCHES); /* first the switches: what follows is behind them */
    stop_pulse();
    (void)set_selector(0U);
    (void)set_dac(MCP4822_PULSE, 0U);
    (void)set_dac(MCP4822_READ, 0U);
}
