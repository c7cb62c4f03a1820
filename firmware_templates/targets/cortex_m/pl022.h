/* Arm PL022 as an SPI master that sends and receives words of 16 bits. Arm DDI 0194, chapter 3. */
#ifndef OURO_PL022_H
#define OURO_PL022_H

#include "registers.h"

#define PL022_MODE_0 0x0FU /* CR0: 16 bits, Motorola; clock low at rest, sampled when it rises */
#define PL022_MODE_2 0x4FU /* the same with the clock high at rest, sampled when it falls */

/* `divider`: even, 2 at the least; the SPI runs at its clock over it. */
static inline void pl022_start(uint32_t base, uint32_t mode, uint32_t divider)
{
    REGISTER(base + 0x04U) = 0U; /* CR1 */
    REGISTER(base + 0x00U) = mode;
    REGISTER(base + 0x10U) = divider; /* CPSR */
    REGISTER(base + 0x04U) = 0x2U;    /* SSE */
}

/* One word each way; false when none came back. */
static inline bool pl022_transfer(uint32_t base, uint32_t word, uint32_t *received)
{
    REGISTER(base + 0x08U) = word;                                  /* DR */
    if (!wait_for_bits(base + 0x0CU, 0x4U, true, LOOKS_AT_A_BUS)) { /* SR: RNE */
        return false;
    }
    *received = REGISTER(base + 0x08U);
    return true;
}

#endif
