/* Access to a peripheral's registers, and the one way to wait for a bit. */
#ifndef OURO_REGISTERS_H
#define OURO_REGISTERS_H

#include <stdbool.h>
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define LOOKS_AT_A_CLOCK 20000U /* ten milliseconds at the least: crystals start within two */
#define LOOKS_AT_A_BUS 1000U    /* some hundred microseconds at the least: a few bytes on SPI or I2C */

/* Looks at the register until all of `bits` are `on`, at most `looks` times; whether they are. */
static inline bool wait_for_bits(uint32_t address, uint32_t bits, bool on, uint32_t looks)
{
    const uint32_t wanted = on ? bits : 0U;

    for (uint32_t i = 0U; i < looks; i++) {
        if ((REGISTER(address) & bits) == wanted) {
            return true;
        }
    }
    return false;
}

#endif
