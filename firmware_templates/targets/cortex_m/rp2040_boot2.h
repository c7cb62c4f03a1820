/*
 * RP2040's second stage: the boot ROM copies the first 256 bytes of the flash to RAM and, if their checksum is right,
 * runs them there. These map the flash into memory, by the read command 03h that every serial flash knows, at a quarter
 * of the processor's clock, and go on with the vector table behind them. RP2040 datasheet 2.8.1.3 and 4.10 (SSI).
 *
 * The last word is the CRC-32 of the others (polynomial 0x04C11DB7, start 0xFFFFFFFF, not reflected): the tests compute
 * it. No instruction here has two encodings, so that every assembler gives the same bytes.
 */
#ifndef OURO_RP2040_BOOT2_H
#define OURO_RP2040_BOOT2_H

__asm__(".section .boot2, \"ax\", %progbits\n"
        ".syntax unified\n"
        ".thumb\n"
        ".balign 4\n"
        "boot2:\n"
        "    ldr r3, boot2_ssi\n"
        "    movs r1, #0\n"
        "    str r1, [r3, #0x08]\n" /* SSIENR: off while it is set up */
        "    str r1, [r3, #0x04]\n" /* CTRLR1: one word a read */
        "    movs r1, #4\n"
        "    str r1, [r3, #0x14]\n" /* BAUDR */
        "    ldr r1, boot2_ctrlr0\n"
        "    str r1, [r3, #0x00]\n"
        "    ldr r2, boot2_spi_ctrlr0\n"
        "    ldr r1, boot2_command\n"
        "    str r1, [r2, #0x00]\n"
        "    movs r1, #1\n"
        "    str r1, [r3, #0x08]\n"
        "    ldr r0, boot2_vectors\n"
        "    ldr r1, boot2_vtor\n"
        "    str r0, [r1, #0x00]\n"
        "    ldr r1, [r0, #0x00]\n"
        "    ldr r2, [r0, #0x04]\n"
        "    msr msp, r1\n"
        "    bx r2\n"
        ".balign 4, 0\n"
        "boot2_ssi: .word 0x18000000\n"
        "boot2_ctrlr0: .word 0x001F0300\n" /* one line; 32 clocks of data; send command and address, then receive */
        "boot2_spi_ctrlr0: .word 0x180000F4\n"
        "boot2_command: .word 0x03000218\n" /* 03h: 8 bits of command, 24 of address */
        "boot2_vectors: .word 0x10000100\n"
        "boot2_vtor: .word 0xE000ED08\n"
        ".org boot2 + 252, 0\n"
        ".word 0x51BF7640\n"
        ".text\n");

#endif
