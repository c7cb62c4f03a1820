/* Access to a peripheral's registers, and the one way to wait for a bit. */
#ifndef OURO_REGISTERS_H
#define OURO_REGISTERS_H

#include <stdbool.h>
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Looks at the register until all of `bits` are `on`, at most 100,000 times; whether they are. */
static inline bool wait_for_bits(uint32_t address, uint32_t bits, bool on)
{
    const uint32_t wanted = on ? bits : 0U;

    for (uint32_t i = 0U; i < 100000U; i++) {
        if ((REGISTER(address) & bits) == wanted) {
            return true;
        }
    }
    return false;
}

#endif
