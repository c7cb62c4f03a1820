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
 * SAM3X data sheet (Atmel 11057), chapters 33 TWI, 44 DACC; AD5593R data sheet, table 12 (pointer byte).
 */
#include "ouro_board.h"

#include "ouro_config.h"

#include "arduino_due.h"
#include "ouro_parts.h"

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
#define DACC_MR REGISTER(0x400C8004U)
#define DACC_CHER REGISTER(0x400C8010U)
#define DACC_CDR REGISTER(0x400C8020U)
#define DACC_ACR REGISTER(0x400C8094U)

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
#define TWI_PINS (3UL << 12U)   /* port B, 12 and 13 */
#define ANALOGUE_A 0x01C10000UL /* 16, 22 - 24 */
#define ANALOGUE_B 0x001F0000UL /* 16 - 20 */

static volatile uint32_t row, column; /* selected, or NONE */
static ouro_average_t average;
static bool is_read_settling;

static void write_pin(const pin_t *pin, bool on)
{
    if (on) {
        PIO_SODR(pin->port) = pin->mask;
    } else {
        PIO_CODR(pin->port) = pin->mask;
    }
}

static void open_all_switches(void)
{
    PIO_CODR(PIOC) = SWITCHES_C;
    PIO_CODR(PIOD) = SWITCHES_D;
    PIO_CODR(PIOA) = SWITCHES_A;
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
           write_ad5593r(AD5593R_DAC_DATA + row, (v_uV < 0) ? (ROW_GROUND + code) : (ROW_GROUND - code));
}

static void start_converters(void)
{
    TWI_CR = 0xA4U; /* reset, master, no slave */
    TWI_CR = 0x24U;
    TWI_CWGR = 0x00013333U;                      /* 84 MHz / (2 * (51 * 2 + 4)) = 396 kHz */
    TWI_MMR = (AD5593R_ADDRESS << 16U) | 0x100U; /* writes, with a pointer byte */
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
    PIO_CODR(PIOC) = PIN_4;
    make_outputs(PIOA, SWITCHES_A);
    make_outputs(PIOC, SWITCHES_C | PIN_4);
    make_outputs(PIOD, SWITCHES_D);
    PIO_PUDR(PIOA) = ANALOGUE_A;
    PIO_PUDR(PIOB) = ANALOGUE_B;
    start_due(1UL << 23U, 1UL << 6U); /* TWI1; DACC */
    PIO_PDR(PIOB) = TWI_PINS;
    start_converters();
    board_safe();
    start_watchdog();
}

/* Nothing is connected yet: that happens for the time of a read or of a pulse. */
bool board_select(uint16_t wanted_row, uint16_t wanted_column)
{
    const bool is_there = is_clock_right && (wanted_row < SIDE) && (wanted_column < SIDE);

    open_all_switches();
    row = is_there ? (uint32_t)wanted_row : NONE;
    column = is_there ? (uint32_t)wanted_column : NONE;
    return is_there && set_row(0);
}

int32_t board_set_v(int32_t v_uV)
{
    open_all_switches();
    return set_row(v_uV) ? ouro_dac_v_uV(v_uV) : 0;
}

/* The amplifier holds the column at the virtual ground. */
void board_read_start(int32_t v_read_uV, uint16_t n_avg)
{
    if (set_row(
            -v_read_uV)) { /* current into the amplifier, as the shield reads; if not, it reads nothing: saturated */
        switch_pulse(true);
    }
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
    uint32_t code = 0U;

    if (is_read_settling) {
        if (board_settle_poll() == OURO_HAL_DONE) {
            is_read_settling = false;
            start_conversion(channel);
        }
        return OURO_HAL_PENDING;
    }
    if (!take_conversion(channel, &code)) {
        return OURO_HAL_PENDING;
    }
    if (!ouro_average_take(&average, code, reading)) {
        start_conversion(channel);
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
