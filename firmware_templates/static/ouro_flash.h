/* Where tables lie. Cores with one address space read them from flash; AVR would copy them to its small RAM first,
 * unless they are named as flash: OURO_FLASH in their declaration, and in those of pointers to them. */
#ifndef OURO_FLASH_H
#define OURO_FLASH_H

#if defined(__AVR__)
#define OURO_FLASH __flash /* GNU C; the lowest 64 KiB */
#else
#define OURO_FLASH
#endif

#endif
