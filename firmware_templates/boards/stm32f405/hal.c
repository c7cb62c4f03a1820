/*
 * STM32F405. Reference manual RM0090.
 *
 *   PA9, PA10   USART1, commands, 115200 baud        PA2, PA3  USART2, bench line
 *   PA4         DAC1, magnitude of the pulse voltage PA5       DAC2, read voltage
 *   PA1         ADC1 channel 1, transimpedance amplifier
 *   PA0         TIM2 channel 1: high while a pulse lasts; gates the driver's analogue switch. Needs a pull-down:
 *               the pin floats during a reset
 *   PB0, PB1    polarity of the driver: SET, RESET   PB2       connects the read voltage
 *   PC0 - PC5   row, PC6 - PC11 column, PC12 enables the selector
 *
 * The pulse is TIM2's own: one-pulse mode ends it whatever the processor does. Without its crystal the board selects no
 * cell: its ticks would have another length.
 */
#define USART1 0x40011000U
#define ADC1 0x40012000U
#define PULSE_TIMER 0x40000000U /* TIM2 */
#define PULSE_COUNTS 0xFFFFFFFFU
#define GPIOB_BSRR REGISTER(0x40020418U)
#define GPIOC_ODR REGISTER(0x40020814U)
#define ADC_START 0x40000001U /* SWSTART, ADON */
#define SET_PIN 0x1U
#define RESET_PIN 0x2U
#define READ_PIN 0x4U
#define CYCLES_PER_us 168U

#include "stm32_board.h"

#define RCC_CR 0x40023800U
#define RCC_PLLCFGR REGISTER(0x40023804U)
#define RCC_CFGR REGISTER(0x40023808U)
#define RCC_AHB1ENR REGISTER(0x40023830U)
#define RCC_APB1ENR REGISTER(0x40023840U)
#define RCC_APB2ENR REGISTER(0x40023844U)
#define FLASH_ACR REGISTER(0x40023C00U)
#define GPIOA_MODER REGISTER(0x40020000U)
#define GPIOA_AFRL REGISTER(0x40020020U)
#define GPIOA_AFRH REGISTER(0x40020024U)
#define GPIOB_MODER REGISTER(0x40020400U)
#define GPIOC_MODER REGISTER(0x40020800U)
#define ADC_CCR REGISTER(0x40012304U)

static void start_clocks(void)
{
    REGISTER(RCC_CR) |= 0x00010000U; /* 8 MHz crystal */
    (void)wait_for_bits(RCC_CR, 0x00020000U, true, LOOKS_AT_A_CLOCK);
    FLASH_ACR = 0x705U;              /* caches, prefetch, 5 wait states */
    RCC_PLLCFGR = 0x07405408U;       /* 8 MHz / 8 * 336 / 2 = 168 MHz */
    RCC_CFGR = 0x00009400U;          /* APB1 42 MHz, APB2 84 MHz; their timers 84 and 168 MHz */
    REGISTER(RCC_CR) |= 0x01000000U; /* PLL */
    is_clock_right = wait_for_bits(RCC_CR, 0x02020000U, true, LOOKS_AT_A_CLOCK);
    RCC_CFGR |= 0x2U;           /* run from it */
    RCC_APB1ENR |= 0x20020001U; /* TIM2, USART2, DAC */
    RCC_APB2ENR |= 0x110U;      /* USART1, ADC1 */
    start_cycle_counter();
}

void board_init(void)
{
    RCC_AHB1ENR |= 0x7U;              /* ports A, B, C */
    GPIOB_BSRR = ALL_SWITCHES << 16U; /* off before they drive */
    GPIOB_MODER |= 0x15U;             /* PB0 - PB2 outputs */
    GPIOC_ODR = 0U;
    GPIOC_MODER |= 0x01555555U; /* PC0 - PC12 outputs */
    start_clocks();
    start_pulse_timer();
    GPIOA_MODER |= 0x00280FAEU; /* PA1, 4, 5 analogue; 0, 2, 3, 9, 10 alternate */
    GPIOA_AFRL |= 0x7701U;      /* TIM2, USART2 */
    GPIOA_AFRH |= 0x0770U;      /* USART1 */
    start_dac();
    start_lines(729U, 365U); /* 84 MHz, 42 MHz */
    ADC_CCR = 0x10000U;      /* 84 MHz / 4 */
    ADC_SMPR2(ADC1) = 0x18U; /* channel 1: 56 cycles */
    ADC_SQR3(ADC1) = 1U;
    ADC_CR2(ADC1) = 0x1U;
    start_watchdog(32U);
    board_safe();
}
