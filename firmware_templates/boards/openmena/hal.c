/*
 * OpenMENA shield on an Arduino Due. Pins and voltages are those of the shield's own firmware
 * (github.com/ali20480/OpenMENA).
 *
 *   programming port   UART, commands, 115200 baud        18, 19   USART0 (Serial1), bench line
 *   20, 21   TWI1 (Wire): an AD5593R, address 0x11, external reference 1.5 V; output i drives row i
 *   5, 8, 7, 6, 9, 12, 11, 10         switch of row 0 - 7
 *   30, 32, 34, 36, 40, 42, 46, 44    switch of column 0 - 7 to DAC1
 *   DAC1     the columns' voltage while they are pulsed: 0.75 V, the virtual ground of the amplifiers
 *   A1, A2, A3, A11, A10, A9, A8, A0  transimpedance amplifier of column 0 - 7
 *   4        kept low
 *
 * A cell's voltage is that of its row against its column at 0.75 V; SET is a row above it. Row and column closed and
 * the row's output at 0.75 V is 0 V. The switch of the row begins and ends a pulse: no timer reaches all eight of these
 * pins, so SysTick's interrupt ends it, see systick_pulse.h. A reset turns the chip's pull-ups on, some 100 kOhm, and
 * the AD5593R keeps its voltages: the switches need pull-downs that win. Without its crystal the board selects no cell:
 * its ticks would have another length.
 *
 * SAM3X data sheet (Atmel 11057), chapters 15 WDT, 16 RSTC, 28 PMC, 31 PIO, 33 TWI, 34 UART, 35 USART, 43 ADC, 44 DACC;
 * AD5593R data sheet, table 12 (pointer byte).
 */
#include "ouro_board.h"

#include "ouro_config.h"

#include "ouro_parts.h"
#include "registers.h"

#define CYCLES_PER_us 84U
#define CYCLES_PER_TICK CYCLES_PER_us
#define LEAD_CYCLES 60U
#include "systick_pulse.h"

#define TWI1 0x40090000U
#define TWI_CR REGISTER(TWI1 + 0x00U)
#define TWI_MMR REGISTER(TWI1 + 0x04U)
#define TWI_IADR REGISTER(TWI1 + 0x0CU)
#define TWI_CWGR REGISTER(TWI1 + 0x10U)
#define TWI_SR REGISTER(TWI1 + 0x20U)
#define TWI_THR REGISTER(TWI1 + 0x34U)
#define UART 0x400E0800U
#define USART0 0x40098000U
#define LINE_CR(base) REGISTER((base) + 0x00U)
#define LINE_MR(base) REGISTER((base) + 0x04U)
#define LINE_SR(base) REGISTER((base) + 0x14U)
#define LINE_RHR(base) REGISTER((base) + 0x18U)
#define LINE_THR(base) REGISTER((base) + 0x1CU)
#define LINE_BRGR(base) REGISTER((base) + 0x20U)
#define ADC_CR REGISTER(0x400C0000U)
#define ADC_MR REGISTER(0x400C0004U)
#define ADC_CHER REGISTER(0x400C0010U)
#define ADC_CHDR REGISTER(0x400C0014U)
#define ADC_ISR REGISTER(0x400C0030U)
#define ADC_CDR(channel) REGISTER(0x400C0050U + (4U * (channel)))
#define DACC_MR REGISTER(0x400C8004U)
#define DACC_CHER REGISTER(0x400C8010U)
#define DACC_CDR REGISTER(0x400C8020U)
#define DACC_ACR REGISTER(0x400C8094U)
#define PMC_PCER0 REGISTER(0x400E0610U)
#define CKGR_MOR REGISTER(0x400E0620U)
#define CKGR_PLLAR REGISTER(0x400E0628U)
#define PMC_MCKR REGISTER(0x400E0630U)
#define PMC_SR 0x400E0668U
#define PMC_PCER1 REGISTER(0x400E0700U)
#define EEFC0_FMR REGISTER(0x400E0A00U)
#define EEFC1_FMR REGISTER(0x400E0C00U)
#define PIOA 0x400E0E00U
#define PIOB 0x400E1000U
#define PIOC 0x400E1200U
#define PIOD 0x400E1400U
#define PIO_PER(base) REGISTER((base) + 0x00U)
#define PIO_PDR(base) REGISTER((base) + 0x04U)
#define PIO_OER(base) REGISTER((base) + 0x10U)
#define PIO_SODR 0x30U
#define PIO_CODR 0x34U
#define PIO_PUDR(base) REGISTER((base) + 0x60U)
#define RSTC_CR REGISTER(0x400E1A00U)
#define WDT_CR REGISTER(0x400E1A50U)
#define WDT_MR REGISTER(0x400E1A54U)
#define DEMCR REGISTER(0xE000EDFCU)
#define DWT_CTRL REGISTER(0xE0001000U)
#define DWT_CYCCNT REGISTER(0xE0001004U)

#define LINE_RXRDY 0x1U
#define LINE_TXRDY 0x2U
#define TWI_STOP 0x2U
#define TWI_TXCOMP 0x1U
#define TWI_TXRDY 0x4U
#define TWI_NACK 0x100U
#define AD5593R_ADDRESS 0x11U
#define AD5593R_LDAC 0x07U /* pointer bytes */
#define AD5593R_DAC_PINS 0x05U
#define AD5593R_DAC_DATA 0x10U /* plus the channel */
#define ROW_GROUND 2048U       /* code of 0.75 V */
#define COLUMN_GROUND 383U     /* DAC1: 0.545 V + 0.665 * 3.3 V * code / 4095 = 0.75 V */
#define SIDE 8U
#define NONE SIDE
#define READ_SETTLE_us 50U

typedef struct {
    uint32_t port;
    uint32_t mask;
} pin_t;

static const pin_t row_switch[SIDE] = {
    {PIOC, 1UL << 25U}, {PIOC, 1UL << 22U}, {PIOC, 1UL << 23U}, {PIOC, 1UL << 24U},
    {PIOC, 1UL << 21U}, {PIOD, 1UL << 8U},  {PIOD, 1UL << 7U},  {PIOC, 1UL << 29U},
};
static const pin_t column_switch[SIDE] = {
    {PIOD, 1UL << 9U}, {PIOD, 1UL << 10U}, {PIOC, 1UL << 2U},  {PIOC, 1UL << 4U},
    {PIOC, 1UL << 8U}, {PIOA, 1UL << 19U}, {PIOC, 1UL << 17U}, {PIOC, 1UL << 19U},
};
static const uint8_t column_adc[SIDE] = {6U, 5U, 4U, 13U, 12U, 11U, 10U, 7U};

#define PIN_4 (1UL << 26U) /* port C */
#define SWITCHES_A (1UL << 19U)
#define SWITCHES_C 0x23EA0114UL /* 2, 4, 8, 17, 19, 21 - 25, 29 */
#define SWITCHES_D 0x00000780UL /* 7 - 10 */
#define LINE_PINS (0xFUL << 8U) /* port A, 8 - 11: UART and USART0 */
#define TWI_PINS (3UL << 12U)   /* port B, 12 and 13 */
#define ANALOGUE_A 0x01C10000UL /* 16, 22 - 24 */
#define ANALOGUE_B 0x001F0000UL /* 16 - 20 */

static volatile uint32_t row, column; /* selected, or NONE */
static uint32_t settle_begin, settle_cycles;
static ouro_average_t average;
static bool is_read_settling;
static bool is_clock_right; /* 84 MHz from the crystal */

void target_reset_chip(void)
{
    RSTC_CR = 0xA5000005U; /* processor and peripherals */
}

static void write_pin(const pin_t *pin, bool on)
{
    REGISTER(pin->port + (on ? PIO_SODR : PIO_CODR)) = pin->mask;
}

static void open_all_switches(void)
{
    REGISTER(PIOC + PIO_CODR) = SWITCHES_C;
    REGISTER(PIOD + PIO_CODR) = SWITCHES_D;
    REGISTER(PIOA + PIO_CODR) = SWITCHES_A;
}

static void switch_pulse(bool on)
{
    if (row < SIDE) {
        write_pin(&row_switch[row], on);
    }
}

/* Wait for a bit of the TWI's status. A refusal shows in one look only, so every look counts. */
static bool wait_for_twi(uint32_t bit)
{
    for (uint32_t i = 0U; i < LOOKS_AT_A_BUS; i++) {
        const uint32_t status = TWI_SR;

        if ((status & TWI_NACK) != 0U) {
            return false;
        }
        if ((status & bit) != 0U) {
            return true;
        }
    }
    return false;
}

/* A register of the AD5593R: pointer byte and 16 bits. False when it does not answer. */
static bool write_ad5593r(uint32_t pointer, uint32_t value)
{
    TWI_IADR = pointer;
    TWI_THR = value >> 8U;
    const bool is_begun = wait_for_twi(TWI_TXRDY);
    TWI_THR = value & 0xFFU;
    const bool is_taken = is_begun && wait_for_twi(TWI_TXRDY);
    TWI_CR = TWI_STOP;
    return is_taken && wait_for_twi(TWI_TXCOMP);
}

/* The selected row's voltage against the virtual ground, in our signs: negative is SET, a row above it. */
static bool set_row(int32_t v_uV)
{
    const uint32_t code = ouro_dac_code(v_uV);

    return (row < SIDE) && (code < ROW_GROUND) &&
           write_ad5593r(AD5593R_DAC_DATA + row, (v_uV < 0) ? ROW_GROUND + code : ROW_GROUND - code);
}

static bool start_clocks(void)
{
    EEFC0_FMR = 0x400U; /* 4 wait states */
    EEFC1_FMR = 0x400U;
    CKGR_MOR = 0x00370809U; /* crystal on, internal oscillator too */
    if (!wait_for_bits(PMC_SR, 0x1U, true, LOOKS_AT_A_CLOCK)) {
        return false;
    }
    CKGR_MOR = 0x01370809U; /* the crystal, 12 MHz */
    const bool is_main = wait_for_bits(PMC_SR, 0x10000U, true, LOOKS_AT_A_CLOCK);
    PMC_MCKR = 0x1U;
    (void)wait_for_bits(PMC_SR, 0x8U, true, LOOKS_AT_A_CLOCK);
    CKGR_PLLAR = 0x200D3F01U; /* * 14 = 168 MHz */
    if (!is_main || !wait_for_bits(PMC_SR, 0x2U, true, LOOKS_AT_A_CLOCK)) {
        return false;
    }
    PMC_MCKR = 0x11U; /* first the divider, 2 */
    (void)wait_for_bits(PMC_SR, 0x8U, true, LOOKS_AT_A_CLOCK);
    PMC_MCKR = 0x12U; /* then the PLL */
    return wait_for_bits(PMC_SR, 0x8U, true, LOOKS_AT_A_CLOCK);
}

static void start_line(uint32_t base, uint32_t mode)
{
    LINE_CR(base) = 0x0CU; /* resets receiver, transmitter */
    LINE_MR(base) = mode;
    LINE_BRGR(base) = 46U; /* 84 MHz / (16 * 115200) */
    LINE_CR(base) = 0x50U;
}

static void start_converters(void)
{
    TWI_CR = 0xA4U; /* reset, master, no slave */
    TWI_CR = 0x24U;
    TWI_CWGR = 0x00013333U;                      /* 84 MHz / (2 * (51 * 2 + 4)) = 396 kHz */
    TWI_MMR = (AD5593R_ADDRESS << 16U) | 0x100U; /* writes, with a pointer byte */
    ADC_MR = 0x1F380200U;                        /* 14 MHz, 12 bits, long tracking */
    DACC_MR = 0x10010800U;                       /* channel 1, refreshed */
    DACC_ACR = 0x0000010AU;                      /* bias currents as for the fastest settling */
    DACC_CHER = 0x2U;
    DACC_CDR = COLUMN_GROUND;
    (void)write_ad5593r(AD5593R_LDAC, 0U); /* outputs follow at once */
    for (uint32_t k = 0U; k < SIDE; k++) { /* before they drive */
        (void)write_ad5593r(AD5593R_DAC_DATA + k, ROW_GROUND);
    }
    (void)write_ad5593r(AD5593R_DAC_PINS, 0xFFU);
}

void board_init(void)
{
    row = NONE;
    column = NONE;
    open_all_switches(); /* before they drive */
    REGISTER(PIOC + PIO_CODR) = PIN_4;
    PIO_PER(PIOA) = SWITCHES_A;
    PIO_PER(PIOC) = SWITCHES_C | PIN_4;
    PIO_PER(PIOD) = SWITCHES_D;
    PIO_OER(PIOA) = SWITCHES_A;
    PIO_OER(PIOC) = SWITCHES_C | PIN_4;
    PIO_OER(PIOD) = SWITCHES_D;
    PIO_PUDR(PIOA) = SWITCHES_A | ANALOGUE_A;
    PIO_PUDR(PIOB) = ANALOGUE_B;
    PIO_PUDR(PIOC) = SWITCHES_C | PIN_4;
    PIO_PUDR(PIOD) = SWITCHES_D;
    is_clock_right = start_clocks();
    PMC_PCER0 = (1UL << 8U) | (1UL << 17U) | (1UL << 23U); /* UART, USART0, TWI1 */
    PMC_PCER1 = (1UL << 5U) | (1UL << 6U);                 /* ADC, DACC */
    PIO_PDR(PIOA) = LINE_PINS;                             /* peripheral A, as after a reset */
    PIO_PDR(PIOB) = TWI_PINS;
    start_line(UART, 0x800U);   /* no parity */
    start_line(USART0, 0x8C0U); /* 8 bits, no parity */
    DEMCR |= 0x01000000U;       /* cycle counter */
    DWT_CTRL |= 0x1U;
    start_converters();
    board_safe();
    WDT_MR = 0x1FFF2200U; /* 512 / 256 Hz = 2 s; resets; halts with a debugger. One write is all that a reset allows */
}

void board_watchdog_kick(void)
{
    WDT_CR = 0xA5000001U;
}

bool board_line_receive(board_line_t line, uint8_t *byte)
{
    const uint32_t base = (line == BOARD_HOST_LINE) ? UART : USART0;

    if ((LINE_SR(base) & LINE_RXRDY) == 0U) {
        return false;
    }
    *byte = (uint8_t)LINE_RHR(base);
    return true;
}

bool board_line_send(board_line_t line, uint8_t byte)
{
    const uint32_t base = (line == BOARD_HOST_LINE) ? UART : USART0;

    if ((LINE_SR(base) & LINE_TXRDY) == 0U) {
        return false;
    }
    LINE_THR(base) = byte;
    return true;
}

/* Nothing is connected yet: that happens for the time of a read or of a pulse. */
bool board_select(uint16_t wanted_row, uint16_t wanted_column)
{
    const bool is_there = is_clock_right && (wanted_row < SIDE) && (wanted_column < SIDE);

    open_all_switches();
    row = is_there ? wanted_row : NONE;
    column = is_there ? wanted_column : NONE;
    return is_there && set_row(0);
}

int32_t board_set_v(int32_t v_uV)
{
    open_all_switches();
    return set_row(v_uV) ? ouro_dac_v_uV(v_uV) : 0;
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

/* The amplifier holds the column at the virtual ground. */
void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    (void)set_row(-v_read_uV); /* current into the amplifier, as the shield reads */
    switch_pulse(true);
    ouro_average_start(&average, n_avg);
    is_read_settling = true;
    board_settle_start(READ_SETTLE_us);
}

ouro_hal_progress_t board_read_poll(ouro_reading_t *reading)
{
    if (column >= SIDE) {
        return OURO_HAL_FAILED;
    }

    const uint32_t channel = column_adc[column];

    if (is_read_settling) {
        if (board_settle_poll() == OURO_HAL_DONE) {
            is_read_settling = false;
            ADC_CHDR = 0xFFFFU;
            ADC_CHER = 1UL << channel;
            (void)ADC_CDR(channel); /* an old result would count as this one */
            ADC_CR = 0x2U;
        }
        return OURO_HAL_PENDING;
    }
    if ((ADC_ISR & (1UL << channel)) == 0U) {
        return OURO_HAL_PENDING;
    }
    if (!ouro_average_take(&average, ADC_CDR(channel) & 0xFFFU, reading)) {
        ADC_CR = 0x2U;
        return OURO_HAL_PENDING;
    }
    switch_pulse(false);
    return set_row(0) ? OURO_HAL_DONE : OURO_HAL_FAILED;
}

/* The direction is in the row's voltage. The column goes first: until its row does too there is no voltage. */
void board_pulse_start(ouro_direction_t direction, uint32_t ticks)
{
    (void)direction;
    if (column < SIDE) {
        write_pin(&column_switch[column], true);
    }
    systick_pulse_start(ticks);
}

ouro_hal_progress_t board_pulse_poll(uint32_t *ticks_given)
{
    if (!systick_pulse_take(ticks_given)) {
        return OURO_HAL_PENDING;
    }
    open_all_switches();
    return OURO_HAL_DONE;
}

void board_safe(void)
{
    open_all_switches(); /* first the switches: what follows is behind them */
    systick_pulse_stop();
    open_all_switches(); /* the handler may have been about to */
    (void)set_row(0);
    row = NONE;
    column = NONE;
}
