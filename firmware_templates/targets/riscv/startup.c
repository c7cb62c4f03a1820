/* Reset of a RISC-V core: memory as C expects it, then main(). No interrupt is ever enabled; a trap makes the outputs
 * safe and waits for the watchdog, which resets the chip. */
#include <stdint.h>

#include "ouro_board.h"

extern uint32_t target_data_load[], target_data_begin[], target_data_end[], target_bss_begin[], target_bss_end[];
int main(void);
void target_reset(void);
void target_trap(void);
void target_start(void);
void target_stop(void);

/* The first instructions in flash. */
__attribute__((naked, used, section(".reset"))) void target_reset(void)
{
    __asm__ volatile("la sp, target_stack_top\n\t"
                     "la t0, target_trap\n\t"
                     ".option push\n\t"
                     ".option arch, +zicsr\n\t"
                     "csrw mtvec, t0\n\t"
                     ".option pop\n\t"
                     "j target_start\n\t");
}

/* Whatever the stack was, it starts over. */
__attribute__((naked, used, aligned(4))) void target_trap(void)
{
    __asm__ volatile("la sp, target_stack_top\n\t"
                     "j target_stop\n\t");
}

__attribute__((noreturn, used)) void target_stop(void)
{
    board_safe();
    for (;;) {
    }
}

__attribute__((noreturn, used)) void target_start(void)
{
    const uint32_t *from = target_data_load;
    uint32_t *to = target_data_begin;

    while (to < target_data_end) {
        *to = *from;
        to++;
        from++;
    }
    to = target_bss_begin;
    while (to < target_bss_end) {
        *to = 0U;
        to++;
    }
    (void)main();
    target_stop();
}
