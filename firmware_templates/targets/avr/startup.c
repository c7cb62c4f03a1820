/* Reset of an AVR: memory as C expects it, then main(). An interrupt that nobody wants makes the outputs safe and waits
 * for the watchdog, which resets the chip. */
#include <stdint.h>

#include "ouro_board.h"
#include "ouro_flash.h"

extern uint8_t target_data_begin[], target_data_end[], target_bss_begin[], target_bss_end[];
extern const OURO_FLASH uint8_t target_data_load[];
int main(void);
void target_vectors(void);
void target_start(void);
void target_fault(void);
void __do_copy_data(void);
void __do_clear_bss(void);

#define VECTOR "jmp target_fault\n\t"
#define FIVE_VECTORS VECTOR VECTOR VECTOR VECTOR VECTOR

/* Reset and the 25 interrupts of the ATmega328P; none is ever enabled. r1 is 0 in compiled code. */
__attribute__((naked, used, section(".vectors"))) void target_vectors(void)
{
    __asm__ volatile("jmp 1f\n\t" FIVE_VECTORS FIVE_VECTORS FIVE_VECTORS FIVE_VECTORS FIVE_VECTORS "1:\n\t"
                     "cli\n\t"
                     "clr r1\n\t"
                     "ldi r28, lo8(target_stack_top)\n\t"
                     "ldi r29, hi8(target_stack_top)\n\t"
                     "out 0x3e, r29\n\t" /* SPH, SPL */
                     "out 0x3d, r28\n\t"
                     "jmp target_start\n\t");
}

__attribute__((noreturn, used)) void target_fault(void)
{
    board_safe();
    for (;;) { /* until the watchdog ends it */
    }
}

/* The compilers ask for these two by name. */
void __do_copy_data(void)
{
    const OURO_FLASH uint8_t *from = target_data_load;
    uint8_t *to = target_data_begin;

    while (to < target_data_end) {
        *to = *from;
        to++;
        from++;
    }
}

void __do_clear_bss(void)
{
    volatile uint8_t *to = target_bss_begin;

    while (to < target_bss_end) {
        *to = 0U;
        to++;
    }
}

__attribute__((noreturn, used)) void target_start(void)
{
    __do_copy_data();
    __do_clear_bss();
    (void)main();
    target_fault();
}
