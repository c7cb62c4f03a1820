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
 * The pulse is TIM2's own: one-pulse mode ends it whatever the processor does. TIM5 counts microseconds. Without its
 * crystal the board selects no cell: its ticks would have another length.
 */
#include "ouro_board.h"

#include "ouro_config.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CR REGISTER(0x40023800U)
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
#define GPIOB_BSRR REGISTER(0x40020418U)
#define GPIOC_MODER REGISTER(0x40020800U)
#define GPIOC_ODR REGISTER(0x40020814U)
#define USART1 0x40011000U
#define USART2 0x40004400U
#define USART_SR(base) REGISTER((base) + 0x00U)
#define USART_DR(base) REGISTER((base) + 0x04U)
#define USART_BRR(base) REGISTER((base) + 0x08U)
#define USART_CR1(base) REGISTER((base) + 0x0CU)
#define ADC1_SR REGISTER(0x40012000U)
#define ADC1_CR2 REGISTER(0x40012008U)
#define ADC1_SMPR2 REGISTER(0x40012010U)
#define ADC1_SQR3 REGISTER(0x40012034U)
#define ADC1_DR REGISTER(0x4001204CU)
#define ADC_CCR REGISTER(0x40012304U)
#define DAC_CR REGISTER(0x40007400U)
#define DAC_DHR12R1 REGISTER(0x40007408U)
#define DAC_DHR12R2 REGISTER(0x40007414U)
#define TIM2_CR1 REGISTER(0x40000000U)
#define TIM2_EGR REGISTER(0x40000014U)
#define TIM2_CCMR1 REGISTER(0x40000018U)
#define TIM2_CCER REGISTER(0x40000020U)
#define TIM2_CNT REGISTER(0x40000024U)
#define TIM2_ARR REGISTER(0x4000002CU)
#define TIM2_CCR1 REGISTER(0x40000034U)
#define TIM5_CR1 REGISTER(0x40000C00U)
#define TIM5_EGR REGISTER(0x40000C14U)
#define TIM5_CNT REGISTER(0x40000C24U)
#define TIM5_PSC REGISTER(0x40000C28U)
#define TIM5_ARR REGISTER(0x40000C2CU)
#define IWDG_KR REGISTER(0x40003000U)
#define IWDG_PR REGISTER(0x40003004U)
#define IWDG_RLR REGISTER(0x40003008U)

#define READY_TRIES 100000U /* looks at a clock that starts */
#define USART_RXNE 0x20U
#define USART_TXE 0x80U
#define USART_ON 0x200CU /* UE, TE, RE */
#define ADC_EOC 0x2U
#define ADC_START 0x40000001U /* SWSTART, ADON */
#define TIMER_ON 0x1U
#define ONE_PULSE 0x9U /* OPM, CEN */
#define SET_PIN 0x1U
#define RESET_PIN 0x2U
#define READ_PIN 0x4U
#define ALL_SWITCHES 0x7U
#define CELLS_A_SIDE 64U
#define SELECTOR_ON 0x1000U
#define READ_SETTLE_us 5U

static int32_t pulse_v_uV;
static uint32_t settle_begin_us, settle_us;
static uint32_t pulse_ticks;
static int32_t read_dac_code;
static uint32_t reads_left, reads_wanted, code_sum;
static bool is_read_settling, is_saturated;
static bool is_clock_right; /* 168 MHz from the crystal */

static uint32_t dac_code(int32_t v_uV)
{
    const int32_t magnitude_uV = (v_uV < 0) ? -v_uV : v_uV;
    const int32_t code = (magnitude_uV + (OURO_DAC_LSB_uV / 2)) / OURO_DAC_LSB_uV;

    return (uint32_t)((code > 0xFFF) ? 0xFFF : code);
}

static void start_clocks(void)
{
    RCC_CR |= 0x00010000U; /* 8 MHz crystal */
    for (uint32_t i = 0U; (i < READY_TRIES) && ((RCC_CR & 0x00020000U) == 0U); i++) {
    }
    FLASH_ACR = 0x705U;        /* caches, prefetch, 5 wait states */
    RCC_PLLCFGR = 0x07405408U; /* 8 MHz / 8 * 336 / 2 = 168 MHz */
    RCC_CFGR = 0x00009400U;    /* APB1 42 MHz, APB2 84 MHz; their timers 84 and 168 MHz */
    RCC_CR |= 0x01000000U;     /* PLL */
    for (uint32_t i = 0U; (i < READY_TRIES) && ((RCC_CR & 0x02000000U) == 0U); i++) {
    }
    is_clock_right = (RCC_CR & 0x02020000U) == 0x02020000U;
    RCC_CFGR |= 0x2U;           /* run from it */
    RCC_AHB1ENR |= 0x7U;        /* ports A, B, C */
    RCC_APB1ENR |= 0x20020009U; /* TIM2, TIM5, USART2, DAC */
    RCC_APB2ENR |= 0x110U;      /* USART1, ADC1 */
}

void board_init(void)
{
    start_clocks();
    GPIOB_BSRR = ALL_SWITCHES << 16U; /* off before they drive */
    GPIOB_MODER |= 0x15U;             /* PB0 - PB2 outputs */
    GPIOC_ODR = 0U;
    GPIOC_MODER |= 0x01555555U; /* PC0 - PC12 outputs */
    TIM2_CCR1 = 1U;             /* before the output: it is high from here to ARR */
    TIM2_CCMR1 = 0x70U;         /* PWM mode 2: high from CCR1 to ARR */
    TIM2_CCER = 0x1U;
    GPIOA_MODER |= 0x00280FAEU; /* PA1, 4, 5 analogue; 0, 2, 3, 9, 10 alternate */
    GPIOA_AFRL |= 0x7701U;      /* TIM2, USART2 */
    GPIOA_AFRH |= 0x0770U;      /* USART1 */
    DAC_DHR12R1 = 0U;
    DAC_DHR12R2 = 0U;
    DAC_CR = 0x00030003U;     /* both on, without buffers, which end 0.2 V above 0 */
    USART_BRR(USART1) = 729U; /* 84 MHz / 115200 */
    USART_CR1(USART1) = USART_ON;
    USART_BRR(USART2) = 365U; /* 42 MHz / 115200 */
    USART_CR1(USART2) = USART_ON;
    ADC_CCR = 0x10000U; /* 84 MHz / 4 */
    ADC1_SMPR2 = 0x18U; /* channel 1: 56 cycles */
    ADC1_SQR3 = 1U;
    ADC1_CR2 = 0x1U;
    TIM5_PSC = 83U; /* 1 us */
    TIM5_ARR = 0xFFFFFFFFU;
    TIM5_EGR = 1U;
    TIM5_CR1 = TIMER_ON;
    IWDG_KR = 0x5555U;
    IWDG_PR = 4U;     /* 32 kHz / 64 */
    IWDG_RLR = 1000U; /* 2 s */
    IWDG_KR = 0xCCCCU;
    board_safe();
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
    GPIOC_ODR = 0U;
    if (!is_clock_right || (row >= CELLS_A_SIDE) || (column >= CELLS_A_SIDE)) {
        return false;
    }
    GPIOC_ODR = SELECTOR_ON | ((uint32_t)column << 6U) | row;
    return true;
}

int32_t board_set_v(int32_t v_uV)
{
    const int32_t given_uV = (int32_t)dac_code(v_uV) * OURO_DAC_LSB_uV;

    GPIOB_BSRR = ALL_SWITCHES << 16U;
    DAC_DHR12R1 = dac_code(v_uV);
    pulse_v_uV = (v_uV < 0) ? -given_uV : given_uV;
    return pulse_v_uV;
}

void board_settle_start(uint32_t us)
{
    settle_begin_us = TIM5_CNT;
    settle_us = us;
}

ouro_hal_progress_t board_settle_poll(void)
{
    return ((TIM5_CNT - settle_begin_us) >= settle_us) ? OURO_HAL_DONE : OURO_HAL_PENDING;
}

void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    read_dac_code = (int32_t)dac_code(v_read_uV);
    DAC_DHR12R2 = (uint32_t)read_dac_code;
    GPIOB_BSRR = READ_PIN;
    reads_wanted = n_avg;
    reads_left = n_avg;
    code_sum = 0U;
    is_saturated = false;
    is_read_settling = true;
    board_settle_start(READ_SETTLE_us);
}

ouro_hal_progress_t board_read_poll(ouro_reading_t *reading)
{
    if (is_read_settling) {
        if (board_settle_poll() == OURO_HAL_DONE) {
            is_read_settling = false;
            ADC1_CR2 = ADC_START;
        }
        return OURO_HAL_PENDING;
    }
    if ((ADC1_SR & ADC_EOC) == 0U) {
        return OURO_HAL_PENDING;
    }

    const uint32_t code = ADC1_DR & 0xFFFU;

    is_saturated = is_saturated || (code == 0U) || (code == (uint32_t)OURO_ADC_MAX_CODE);
    code_sum += code;
    reads_left--;
    if (reads_left > 0U) {
        ADC1_CR2 = ADC_START;
        return OURO_HAL_PENDING;
    }
    GPIOB_BSRR = READ_PIN << 16U;
    DAC_DHR12R2 = 0U;

    const uint64_t scaled = (uint64_t)code_sum * (uint64_t)OURO_ADC_FULL_SCALE_nS;
    const uint64_t steps = (uint64_t)reads_wanted << OURO_ADC_BITS;

    reading->g_nS = (int32_t)((scaled + (steps / 2U)) / steps);
    reading->saturated = is_saturated;
    return OURO_HAL_DONE;
}

void board_pulse_start(ouro_direction_t direction, uint32_t ticks)
{
    pulse_ticks = ticks;
    GPIOB_BSRR = (direction == OURO_SET) ? SET_PIN : RESET_PIN;
    TIM2_CNT = 0U;
    TIM2_CCR1 = 1U;
    TIM2_ARR = ticks; /* high from count 1 to the end of count `ticks` */
    TIM2_EGR = 1U;
    TIM2_CR1 = ONE_PULSE;
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if ((TIM2_CR1 & TIMER_ON) != 0U) {
        return OURO_HAL_PENDING;
    }
    GPIOB_BSRR = ALL_SWITCHES << 16U;
    *ticks_given = pulse_ticks;
    return OURO_HAL_DONE;
}

void board_safe(void)
{
    GPIOB_BSRR = ALL_SWITCHES << 16U; /* first the switches: what follows is behind them */
    TIM2_CR1 = 0U;
    TIM2_CCR1 = 1U;
    TIM2_CNT = 0U; /* below CCR1: output low */
    DAC_DHR12R1 = 0U;
    DAC_DHR12R2 = 0U;
    GPIOC_ODR = 0U;
    pulse_v_uV = 0;
}
