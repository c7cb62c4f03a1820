/*
 * STM32VLDISCOVERY: STM32F100RB. Reference manual RM0041.
 *
 *   PA9, PA10   USART1, commands, 115200 baud        PA2, PA3  USART2, bench line
 *   PA4         DAC1, magnitude of the pulse voltage PA5       DAC2, read voltage
 *   PA1         ADC1 channel 1, transimpedance amplifier
 *   PA6         TIM3 channel 1: high while a pulse lasts; gates the driver's analogue switch. Needs a pull-down:
 *               the pin floats during a reset. Not PA0: the board's button pulls it high
 *   PB0, PB1    polarity of the driver: SET, RESET   PB5       connects the read voltage
 *   PC0 - PC5   row, PC6 - PC11 column, PC12 enables the selector; the board's LEDs at PC8, PC9 show column bits
 *
 * The pulse is TIM3's own: one-pulse mode ends it whatever the processor does. TIM3 has 16 bits; longer pulses are
 * counted in steps of some ticks, and their true length is what board_pulse_poll() reports. Without its crystal the
 * board selects no cell: its ticks would have another length.
 */
#define USART1 0x40013800U
#define ADC1 0x40012400U
#define PULSE_TIMER 0x40000400U /* TIM3 */
#define PULSE_COUNTS 0xFFFFU
#define GPIOB_BSRR REGISTER(0x40010C10U)
#define GPIOC_ODR REGISTER(0x4001100CU)
#define ADC_ON 0x1E0001U               /* EXTTRIG, EXTSEL = SWSTART, ADON */
#define ADC_START (ADC_ON | 0x400000U) /* SWSTART */
#define SET_PIN 0x1U
#define RESET_PIN 0x2U
#define READ_PIN 0x20U
#define CYCLES_PER_us 24U

#include "stm32_board.h"

#define RCC_CR 0x40021000U
#define RCC_CFGR REGISTER(0x40021004U)
#define RCC_APB2ENR REGISTER(0x40021018U)
#define RCC_APB1ENR REGISTER(0x4002101CU)
#define GPIOA_CRL REGISTER(0x40010800U)
#define GPIOA_CRH REGISTER(0x40010804U)
#define GPIOA_BSRR REGISTER(0x40010810U)
#define GPIOB_CRL REGISTER(0x40010C00U)
#define GPIOC_CRL REGISTER(0x40011000U)
#define GPIOC_CRH REGISTER(0x40011004U)
#define ADC1_CR2 (ADC1 + 0x08U)
#define ADC_CAL 0x4U
#define ADC_RSTCAL 0x8U

static void start_clocks(void)
{
    REGISTER(RCC_CR) |= 0x00010000U; /* 8 MHz crystal */
    (void)wait_for_bits(RCC_CR, 0x00020000U, true, LOOKS_AT_A_CLOCK);
    RCC_CFGR = 0x00050000U;          /* 8 MHz * 3 = 24 MHz for everything, ADC 12 MHz */
    REGISTER(RCC_CR) |= 0x01000000U; /* PLL */
    is_clock_right = wait_for_bits(RCC_CR, 0x02020000U, true, LOOKS_AT_A_CLOCK);
    RCC_CFGR |= 0x2U;          /* run from it */
    RCC_APB1ENR = 0x20020002U; /* TIM3, USART2, DAC */
    start_cycle_counter();
}

static void start_adc(void)
{
    ADC_SMPR2(ADC1) = 0x28U; /* channel 1: 55.5 cycles */
    ADC_SQR3(ADC1) = 1U;
    REGISTER(ADC1_CR2) = ADC_ON;
    for (uint32_t i = 0U; i < CYCLES_PER_us; i++) { /* 1 us at least: each look takes several cycles */
        (void)ADC_SR(ADC1);
    }
    REGISTER(ADC1_CR2) = ADC_ON | ADC_RSTCAL;
    (void)wait_for_bits(ADC1_CR2, ADC_RSTCAL, false, LOOKS_AT_A_CLOCK);
    REGISTER(ADC1_CR2) = ADC_ON | ADC_CAL;
    (void)wait_for_bits(ADC1_CR2, ADC_CAL, false, LOOKS_AT_A_CLOCK);
}

void board_init(void)
{
    RCC_APB2ENR = 0x421DU;            /* AFIO, ports A, B, C, ADC1, USART1 */
    GPIOB_BSRR = ALL_SWITCHES << 16U; /* off before they drive */
    GPIOB_CRL = 0x44244422U;          /* PB0, 1, 5 outputs */
    GPIOC_ODR = 0U;
    GPIOC_CRL = 0x22222222U; /* PC0 - PC12 outputs */
    GPIOC_CRH = 0x44422222U;
    start_clocks();
    start_pulse_timer();
    GPIOA_BSRR = 0x408U;     /* pull-ups of both receivers */
    GPIOA_CRL = 0x4B008B04U; /* PA1, 4, 5 analogue; 2, 6 alternate; 3 input */
    GPIOA_CRH = 0x444448B4U; /* PA9 alternate, 10 input */
    start_dac();
    start_lines(208U, 208U); /* 24 MHz */
    start_adc();
    start_watchdog(40U);
    board_safe();
}
