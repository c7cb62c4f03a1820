/*
 * The HAL of the STM32 boards, all but clocks and pins: include it once, in hal.c, which defines before
 *
 *   USART1, ADC1, PULSE_TIMER    base addresses         ADC_START    CR2 that starts a conversion
 *   GPIOB_BSRR, GPIOC_ODR        registers              PULSE_COUNTS highest count of the pulse timer
 *   SET_PIN, RESET_PIN, READ_PIN pins of port B         CYCLES_PER_us of the core
 *
 * and sets `is_clock_right` in board_init(). STM32F1 and STM32F4 have these registers in common. Reference manuals
 * RM0041 (STM32F100) and RM0090 (STM32F405): chapters USART, ADC, DAC, TIM2 to TIM5, IWDG; ARMv7-M manual: DWT.
 */
#ifndef OURO_STM32_BOARD_H
#define OURO_STM32_BOARD_H

#include "ouro_board.h"
#include "ouro_parts.h"
#include "registers.h"

#define USART2 0x40004400U
#define USART_SR(base) REGISTER((base) + 0x00U)
#define USART_DR(base) REGISTER((base) + 0x04U)
#define USART_BRR(base) REGISTER((base) + 0x08U)
#define USART_CR1(base) REGISTER((base) + 0x0CU)
#define ADC_SR(base) REGISTER((base) + 0x00U)
#define ADC_CR2(base) REGISTER((base) + 0x08U)
#define ADC_SMPR2(base) REGISTER((base) + 0x10U)
#define ADC_SQR3(base) REGISTER((base) + 0x34U)
#define ADC_DR(base) REGISTER((base) + 0x4CU)
#define DAC_CR REGISTER(0x40007400U)
#define DAC_DHR12R1 REGISTER(0x40007408U)
#define DAC_DHR12R2 REGISTER(0x40007414U)
#define TIM_CR1(base) REGISTER((base) + 0x00U)
#define TIM_EGR(base) REGISTER((base) + 0x14U)
#define TIM_CCMR1(base) REGISTER((base) + 0x18U)
#define TIM_CCER(base) REGISTER((base) + 0x20U)
#define TIM_CNT(base) REGISTER((base) + 0x24U)
#define TIM_PSC(base) REGISTER((base) + 0x28U)
#define TIM_ARR(base) REGISTER((base) + 0x2CU)
#define TIM_CCR1(base) REGISTER((base) + 0x34U)
#define IWDG_KR REGISTER(0x40003000U)
#define IWDG_PR REGISTER(0x40003004U)
#define IWDG_RLR REGISTER(0x40003008U)
#define DEMCR REGISTER(0xE000EDFCU)
#define DWT_CTRL REGISTER(0xE0001000U)
#define DWT_CYCCNT REGISTER(0xE0001004U)

#define USART_RXNE 0x20U
#define USART_TXE 0x80U
#define USART_ON 0x200CU /* UE, TE, RE */
#define ADC_EOC 0x2U
#define TIMER_ON 0x1U
#define ONE_PULSE 0x9U /* OPM, CEN */
#define ALL_SWITCHES (SET_PIN | RESET_PIN | READ_PIN)
#define READ_SETTLE_us 5U

static uint32_t settle_begin, settle_cycles;
static uint32_t pulse_ticks;
static ouro_average_t average;
static bool is_read_settling;
static bool is_clock_right; /* the crystal's */

/* The core's cycle counter, which measures waits. */
static void start_cycle_counter(void)
{
    DEMCR |= 0x01000000U;
    DWT_CTRL |= 0x1U;
}

/* Channel 1 of the pulse timer, low until it is started. */
static void start_pulse_timer(void)
{
    TIM_CCR1(PULSE_TIMER) = 1U;     /* before the output: it is high from here to ARR */
    TIM_CCMR1(PULSE_TIMER) = 0x70U; /* PWM mode 2: high from CCR1 to ARR */
    TIM_CCER(PULSE_TIMER) = 0x1U;
}

static void start_dac(void)
{
    DAC_DHR12R1 = 0U;
    DAC_DHR12R2 = 0U;
    DAC_CR = 0x00030003U; /* both on, without buffers, which end 0.2 V above 0 */
}

/* The dividers are the clock of the line over 115200. */
static void start_lines(uint32_t divider_1, uint32_t divider_2)
{
    USART_BRR(USART1) = divider_1;
    USART_CR1(USART1) = USART_ON;
    USART_BRR(USART2) = divider_2;
    USART_CR1(USART2) = USART_ON;
}

/* 2 s of the low-speed clock, of which this is the frequency. */
static void start_watchdog(uint32_t kHz)
{
    IWDG_KR = 0x5555U;
    IWDG_PR = 4U; /* over 64 */
    IWDG_RLR = (kHz * 2000U) / 64U;
    IWDG_KR = 0xCCCCU;
}

void board_watchdog_kick(void)
{
    IWDG_KR = 0xAAAAU;
}

bool board_line_receive(board_line_t line, uint8_t *byte)
{
    const uint32_t base = (line == BOARD_HOST_LINE) ? USART1 : USART2;

    if ((USART_SR(base) & USART_RXNE) == 0U) {
        return false;
    }
    *byte = (uint8_t)USART_DR(base);
    return true;
}

bool board_line_send(board_line_t line, uint8_t byte)
{
    const uint32_t base = (line == BOARD_HOST_LINE) ? USART1 : USART2;

    if ((USART_SR(base) & USART_TXE) == 0U) {
        return false;
    }
    USART_DR(base) = byte;
    return true;
}

bool board_select(uint16_t row, uint16_t column)
{
    const uint32_t word = is_clock_right ? ouro_selector_word(row, column) : 0U;

    GPIOC_ODR = 0U;
    GPIOC_ODR = word;
    return word != 0U;
}

int32_t board_set_v(int32_t v_uV)
{
    GPIOB_BSRR = ALL_SWITCHES << 16U;
    DAC_DHR12R1 = ouro_dac_code(v_uV);
    return ouro_dac_v_uV(v_uV);
}

void board_settle_start(uint32_t us)
{
    settle_begin = DWT_CYCCNT;
    settle_cycles = us * CYCLES_PER_us;
}

ouro_hal_progress_t board_settle_poll(void)
{
    return ((DWT_CYCCNT - settle_begin) >= settle_cycles) ? OURO_HAL_DONE : OURO_HAL_PENDING;
}

void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    DAC_DHR12R2 = ouro_dac_code(v_read_uV);
    GPIOB_BSRR = READ_PIN;
    ouro_average_start(&average, n_avg);
    is_read_settling = true;
    board_settle_start(READ_SETTLE_us);
}

ouro_hal_progress_t board_read_poll(ouro_reading_t *reading)
{
    if (is_read_settling) {
        if (board_settle_poll() == OURO_HAL_DONE) {
            is_read_settling = false;
            ADC_CR2(ADC1) = ADC_START;
        }
        return OURO_HAL_PENDING;
    }
    if ((ADC_SR(ADC1) & ADC_EOC) == 0U) {
        return OURO_HAL_PENDING;
    }
    if (!ouro_average_take(&average, ADC_DR(ADC1) & 0xFFFU, reading)) {
        ADC_CR2(ADC1) = ADC_START;
        return OURO_HAL_PENDING;
    }
    GPIOB_BSRR = READ_PIN << 16U;
    DAC_DHR12R2 = 0U;
    return OURO_HAL_DONE;
}

/* Pulses beyond the timer's highest count are counted in steps of some ticks, to the nearest. */
void board_pulse_start(ouro_direction_t direction, uint32_t ticks)
{
    const uint32_t step = ((ticks - 1U) / PULSE_COUNTS) + 1U;
    const uint32_t counts = (ticks + (step / 2U)) / step;

    pulse_ticks = counts * step;
    GPIOB_BSRR = (direction == OURO_SET) ? SET_PIN : RESET_PIN;
    TIM_CNT(PULSE_TIMER) = 0U;
    TIM_CCR1(PULSE_TIMER) = 1U;
    TIM_PSC(PULSE_TIMER) = step - 1U;
    TIM_ARR(PULSE_TIMER) = counts; /* high from count 1 to the end of count `counts` */
    TIM_EGR(PULSE_TIMER) = 1U;
    TIM_CR1(PULSE_TIMER) = ONE_PULSE;
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if ((TIM_CR1(PULSE_TIMER) & TIMER_ON) != 0U) {
        return OURO_HAL_PENDING;
    }
    GPIOB_BSRR = ALL_SWITCHES << 16U;
    *ticks_given = pulse_ticks;
    return OURO_HAL_DONE;
}

void board_safe(void)
{
    GPIOB_BSRR = ALL_SWITCHES << 16U; /* first the switches: what follows is behind them */
    TIM_CR1(PULSE_TIMER) = 0U;
    TIM_CCR1(PULSE_TIMER) = 1U;
    TIM_CNT(PULSE_TIMER) = 0U; /* below CCR1: output low */
    DAC_DHR12R1 = 0U;
    DAC_DHR12R2 = 0U;
    GPIOC_ODR = 0U;
}

#endif
