/*
 * What HALs on an Arduino Due share: clocks, serial lines, ADC, watchdog, waits. Include it once, in hal.c.
 * SAM3X data sheet (Atmel 11057), chapters 15 WDT, 16 RSTC, 28 PMC, 31 PIO, 34 UART, 35 USART, 43 ADC.
 */
#ifndef OURO_ARDUINO_DUE_H
#define OURO_ARDUINO_DUE_H

#include "ouro_board.h"
#include "registers.h"
#include "target_hooks.h"

#define CYCLES_PER_us 84U

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
#define PIO_SODR(base) REGISTER((base) + 0x30U)
#define PIO_CODR(base) REGISTER((base) + 0x34U)
#define PIO_PUDR(base) REGISTER((base) + 0x60U)
#define PIO_ABSR(base) REGISTER((base) + 0x70U)
#define RSTC_CR REGISTER(0x400E1A00U)
#define WDT_CR REGISTER(0x400E1A50U)
#define WDT_MR REGISTER(0x400E1A54U)
#define DEMCR REGISTER(0xE000EDFCU)
#define DWT_CTRL REGISTER(0xE0001000U)
#define DWT_CYCCNT REGISTER(0xE0001004U)

#define LINE_RXRDY 0x1U
#define LINE_TXRDY 0x2U
#define LINE_PINS (0xFUL << 8U) /* port A, 8 - 11: UART and USART0 */
#define ADC_START 0x2U

static uint32_t settle_begin, settle_cycles;
static bool is_clock_right; /* 84 MHz from the crystal */

void target_reset_chip(void)
{
    RSTC_CR = 0xA5000005U; /* processor and peripherals */
}

/* Pins as outputs without pull-up; what they drive is set before. */
static void make_outputs(uint32_t port, uint32_t pins)
{
    PIO_PER(port) = pins;
    PIO_OER(port) = pins;
    PIO_PUDR(port) = pins;
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

/* Clocks, both lines, ADC, cycle counter. Of the others, `peripherals` of PMC_PCER0 and PMC_PCER1 are switched on. */
static void start_due(uint32_t peripherals_0, uint32_t peripherals_1)
{
    is_clock_right = start_clocks();
    PMC_PCER0 = peripherals_0 | (1UL << 8U) | (1UL << 17U); /* UART, USART0 */
    PMC_PCER1 = peripherals_1 | (1UL << 5U);                /* ADC */
    PIO_PDR(PIOA) = LINE_PINS;                              /* peripheral A, as after a reset */
    start_line(UART, 0x800U);                               /* no parity */
    start_line(USART0, 0x8C0U);                             /* 8 bits, no parity */
    ADC_MR = 0x1F380200U;                                   /* 14 MHz, 12 bits, long tracking */
    DEMCR |= 0x01000000U;
    DWT_CTRL |= 0x1U;
}

/* 512 / 256 Hz = 2 s; resets; halts with a debugger. One write is all that a reset allows. */
static void start_watchdog(void)
{
    WDT_MR = 0x1FFF2200U;
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

void board_settle_start(uint32_t us)
{
    settle_begin = DWT_CYCCNT;
    settle_cycles = us * CYCLES_PER_us;
}

ouro_hal_progress_t board_settle_poll(void)
{
    return ((DWT_CYCCNT - settle_begin) >= settle_cycles) ? OURO_HAL_DONE : OURO_HAL_PENDING;
}

/* Convert one channel, anew. */
static void start_conversion(uint32_t channel)
{
    ADC_CHDR = 0xFFFFU;
    ADC_CHER = 1UL << channel;
    (void)ADC_CDR(channel); /* an old result would count as this one */
    ADC_CR = ADC_START;
}

static bool take_conversion(uint32_t channel, uint32_t *code)
{
    if ((ADC_ISR & (1UL << channel)) == 0U) {
        return false;
    }
    *code = ADC_CDR(channel) & 0xFFFU;
    return true;
}

#endif
