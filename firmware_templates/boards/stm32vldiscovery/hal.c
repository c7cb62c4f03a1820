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
 * counted in steps of some ticks, and their true length is what board_pulse_poll() reports. The core's cycle counter
 * measures waits. Without its crystal the board selects no cell: its ticks would have another length.
 */
#include "ouro_board.h"

#include "ouro_config.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CR REGISTER(0x40021000U)
#define RCC_CFGR REGISTER(0x40021004U)
#define RCC_APB2ENR REGISTER(0x40021018U)
#define RCC_APB1ENR REGISTER(0x4002101CU)
#define GPIOA_CRL REGISTER(0x40010800U)
#define GPIOA_CRH REGISTER(0x40010804U)
#define GPIOA_BSRR REGISTER(0x40010810U)
#define GPIOB_CRL REGISTER(0x40010C00U)
#define GPIOB_BSRR REGISTER(0x40010C10U)
#define GPIOC_CRL REGISTER(0x40011000U)
#define GPIOC_CRH REGISTER(0x40011004U)
#define GPIOC_ODR REGISTER(0x4001100CU)
#define USART1 0x40013800U
#define USART2 0x40004400U
#define USART_SR(base) REGISTER((base) + 0x00U)
#define USART_DR(base) REGISTER((base) + 0x04U)
#define USART_BRR(base) REGISTER((base) + 0x08U)
#define USART_CR1(base) REGISTER((base) + 0x0CU)
#define ADC1_SR REGISTER(0x40012400U)
#define ADC1_CR2 REGISTER(0x40012408U)
#define ADC1_SMPR2 REGISTER(0x40012410U)
#define ADC1_SQR3 REGISTER(0x40012434U)
#define ADC1_DR REGISTER(0x4001244CU)
#define DAC_CR REGISTER(0x40007400U)
#define DAC_DHR12R1 REGISTER(0x40007408U)
#define DAC_DHR12R2 REGISTER(0x40007414U)
#define TIM3_CR1 REGISTER(0x40000400U)
#define TIM3_EGR REGISTER(0x40000414U)
#define TIM3_CCMR1 REGISTER(0x40000418U)
#define TIM3_CCER REGISTER(0x40000420U)
#define TIM3_CNT REGISTER(0x40000424U)
#define TIM3_PSC REGISTER(0x40000428U)
#define TIM3_ARR REGISTER(0x4000042CU)
#define TIM3_CCR1 REGISTER(0x40000434U)
#define IWDG_KR REGISTER(0x40003000U)
#define IWDG_PR REGISTER(0x40003004U)
#define IWDG_RLR REGISTER(0x40003008U)
#define DEMCR REGISTER(0xE000EDFCU)
#define DWT_CTRL REGISTER(0xE0001000U)
#define DWT_CYCCNT REGISTER(0xE0001004U)

#define READY_TRIES 100000U /* looks at a clock that starts */
#define USART_RXNE 0x20U
#define USART_TXE 0x80U
#define USART_ON 0x200CU /* UE, TE, RE */
#define ADC_EOC 0x2U
#define ADC_ON 0x1E0001U /* EXTTRIG, EXTSEL = SWSTART, ADON */
#define ADC_CAL 0x4U
#define ADC_RSTCAL 0x8U
#define ADC_START (ADC_ON | 0x400000U) /* SWSTART */
#define TIMER_ON 0x1U
#define TIMER_COUNTS 0xFFFFU
#define ONE_PULSE 0x9U /* OPM, CEN */
#define SET_PIN 0x1U
#define RESET_PIN 0x2U
#define READ_PIN 0x20U
#define ALL_SWITCHES 0x23U
#define CELLS_A_SIDE 64U
#define SELECTOR_ON 0x1000U
#define READ_SETTLE_us 5U
#define CYCLES_PER_us 24U

static int32_t pulse_v_uV;
static uint32_t settle_begin, settle_cycles;
static uint32_t pulse_ticks;
static int32_t read_dac_code;
static uint32_t reads_left, reads_wanted, code_sum;
static bool is_read_settling, is_saturated;
static bool is_clock_right; /* 24 MHz from the crystal */

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
    RCC_CFGR = 0x00050000U; /* 8 MHz * 3 = 24 MHz for everything, ADC 12 MHz */
    RCC_CR |= 0x01000000U;  /* PLL */
    for (uint32_t i = 0U; (i < READY_TRIES) && ((RCC_CR & 0x02000000U) == 0U); i++) {
    }
    is_clock_right = (RCC_CR & 0x02020000U) == 0x02020000U;
    RCC_CFGR |= 0x2U;          /* run from it */
    RCC_APB2ENR = 0x421DU;     /* AFIO, ports A, B, C, ADC1, USART1 */
    RCC_APB1ENR = 0x20020002U; /* TIM3, USART2, DAC */
    DEMCR |= 0x01000000U;      /* cycle counter */
    DWT_CTRL |= 0x1U;
}

static void start_adc(void)
{
    ADC1_SMPR2 = 0x28U; /* channel 1: 55.5 cycles */
    ADC1_SQR3 = 1U;
    ADC1_CR2 = ADC_ON;
    for (uint32_t i = 0U; i < CYCLES_PER_us; i++) { /* 1 us at least: each look takes several cycles */
        (void)ADC1_SR;
    }
    ADC1_CR2 = ADC_ON | ADC_RSTCAL;
    for (uint32_t i = 0U; (i < READY_TRIES) && ((ADC1_CR2 & ADC_RSTCAL) != 0U); i++) {
    }
    ADC1_CR2 = ADC_ON | ADC_CAL;
    for (uint32_t i = 0U; (i < READY_TRIES) && ((ADC1_CR2 & ADC_CAL) != 0U); i++) {
    }
}

void board_init(void)
{
    start_clocks();
    GPIOB_BSRR = ALL_SWITCHES << 16U; /* off before they drive */
    GPIOB_CRL = 0x44244422U;          /* PB0, 1, 5 outputs */
    GPIOC_ODR = 0U;
    GPIOC_CRL = 0x22222222U; /* PC0 - PC12 outputs */
    GPIOC_CRH = 0x44422222U;
    TIM3_CCR1 = 1U;     /* before the output: it is high from here to ARR */
    TIM3_CCMR1 = 0x70U; /* PWM mode 2: high from CCR1 to ARR */
    TIM3_CCER = 0x1U;
    GPIOA_BSRR = 0x408U;     /* pull-ups of both receivers */
    GPIOA_CRL = 0x4B008B04U; /* PA1, 4, 5 analogue; 2, 6 alternate; 3 input */
    GPIOA_CRH = 0x444448B4U; /* PA9 alternate, 10 input */
    DAC_DHR12R1 = 0U;
    DAC_DHR12R2 = 0U;
    DAC_CR = 0x00030003U;     /* both on, without buffers, which end 0.2 V above 0 */
    USART_BRR(USART1) = 208U; /* 24 MHz / 115200 */
    USART_CR1(USART1) = USART_ON;
    USART_BRR(USART2) = 208U;
    USART_CR1(USART2) = USART_ON;
    start_adc();
    IWDG_KR = 0x5555U;
    IWDG_PR = 4U;     /* 40 kHz / 64 */
    IWDG_RLR = 1250U; /* 2 s */
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
    settle_begin = DWT_CYCCNT;
    settle_cycles = us * CYCLES_PER_us;
}

ouro_hal_progress_t board_settle_poll(void)
{
    return ((DWT_CYCCNT - settle_begin) >= settle_cycles) ? OURO_HAL_DONE : OURO_HAL_PENDING;
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
    const uint32_t step = (ticks + (TIMER_COUNTS - 1U)) / TIMER_COUNTS; /* ticks a count; 1 up to 65,535 ticks */
    const uint32_t counts = (ticks + (step / 2U)) / step;

    pulse_ticks = counts * step;
    GPIOB_BSRR = (direction == OURO_SET) ? SET_PIN : RESET_PIN;
    TIM3_CNT = 0U;
    TIM3_CCR1 = 1U;
    TIM3_PSC = step - 1U;
    TIM3_ARR = counts; /* high from count 1 to the end of count `counts` */
    TIM3_EGR = 1U;
    TIM3_CR1 = ONE_PULSE;
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if ((TIM3_CR1 & TIMER_ON) != 0U) {
        return OURO_HAL_PENDING;
    }
    GPIOB_BSRR = ALL_SWITCHES << 16U;
    *ticks_given = pulse_ticks;
    return OURO_HAL_DONE;
}

void board_safe(void)
{
    GPIOB_BSRR = ALL_SWITCHES << 16U; /* first the switches: what follows is behind them */
    TIM3_CR1 = 0U;
    TIM3_CCR1 = 1U;
    TIM3_CNT = 0U; /* below CCR1: output low */
    DAC_DHR12R1 = 0U;
    DAC_DHR12R2 = 0U;
    GPIOC_ODR = 0U;
    pulse_v_uV = 0;
}
