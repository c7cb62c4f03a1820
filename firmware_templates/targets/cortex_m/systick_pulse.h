/*
 * Pulses for boards without a timer at the pulse's pin: SysTick interrupts shortly before the end, and its handler
 * switches the pin when the time has come, even when nobody polls. What the pulse took is measured with the same
 * counter. Edges are the processor's: some cycles of jitter. ARMv7-M manual B3.3.
 *
 * Include it once, in hal.c, which defines before
 *
 *   CYCLES_PER_TICK  of the pulse timer: cycles of the processor's clock
 *   LEAD_CYCLES      from the interrupt to the end, more than its entry takes; less than half of the shortest pulse
 *
 * and behind it switch_pulse(). 2^24 cycles are the longest pulse.
 */
#ifndef OURO_SYSTICK_PULSE_H
#define OURO_SYSTICK_PULSE_H

#include "registers.h"
#include "target_hooks.h"

#define SYST_CSR REGISTER(0xE000E010U)
#define SYST_RVR REGISTER(0xE000E014U)
#define SYST_CVR REGISTER(0xE000E018U)

/* The board's: the one write that connects and disconnects. It runs in the handler too. */
static void switch_pulse(bool on);

static volatile bool is_pulsing;
static volatile uint32_t pulse_cycles;

static void systick_pulse_start(uint32_t ticks)
{
    is_pulsing = true;
    SYST_RVR = (ticks * CYCLES_PER_TICK) - LEAD_CYCLES;
    SYST_CVR = 0U; /* any value: the first count loads the top */
    switch_pulse(true);
    SYST_CSR = 7U; /* counts processor cycles, interrupts */
}

/* SysTick has counted from the top down to 0, and does so again. */
void target_systick(void)
{
    const uint32_t top = SYST_RVR;

    for (uint32_t i = 0U; (i < LEAD_CYCLES) && ((top - SYST_CVR) < LEAD_CYCLES); i++) {
    }
    switch_pulse(false);
    pulse_cycles = top + (top - SYST_CVR);
    SYST_CSR = 0U;
    is_pulsing = false;
}

/* Whether the pulse is over, and how long it was. */
static bool systick_pulse_take(uint32_t *ticks_given)
{
    *ticks_given = (pulse_cycles + (CYCLES_PER_TICK / 2U)) / CYCLES_PER_TICK;
    return !is_pulsing;
}

static void systick_pulse_stop(void)
{
    switch_pulse(false);
    SYST_CSR = 0U;
    is_pulsing = false;
}

#endif
