/*
 * MCP4822 (Microchip DS20002249): two 12-bit DACs with a reference of their own, on SPI. Modes 0 and 3, at most 20 MHz,
 * words of 16 bits, most significant bit first, taken when chip select rises (LDAC tied low). Outputs are open after
 * power-up. Channel A gives the magnitude of the pulse voltage, channel B the read voltage.
 */
#ifndef OURO_MCP4822_H
#define OURO_MCP4822_H

#include <stdint.h>

#define MCP4822_PULSE 0x3000U /* channel A; gain 1: 0.5 mV a step; output on */
#define MCP4822_READ 0xB000U  /* channel B, the same */

/* The word that sets a channel: DS20002249, register 5-1. */
static inline uint16_t mcp4822_word(uint32_t channel, uint32_t code)
{
    return (uint16_t)(channel | (code & 0xFFFU));
}

#endif
