/* Reset of a Cortex-M: memory as C expects it, then main(). A fault or an interrupt nobody wants ends in a reset. */
#include <stdint.h>

#include "target_hooks.h"

extern uint32_t target_stack_top[], target_data_load[], target_data_begin[], target_data_end[], target_bss_begin[],
    target_bss_end[];
int main(void);
void target_reset(void);

#define AIRCR (*(volatile uint32_t *)0xE000ED0CU)
#define AIRCR_RESET 0x05FA0004U /* key and SYSRESETREQ: pins return to their reset state, no voltage anywhere */

__attribute__((weak)) void target_reset_chip(void)
{
    AIRCR = AIRCR_RESET;
}

__attribute__((noreturn)) static void target_fault(void)
{
    target_reset_chip();
    for (;;) {
    }
}

__attribute__((weak)) void target_systick(void)
{
    target_fault();
}

__attribute__((noreturn)) void target_reset(void)
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
    target_fault();
}

/* The stack's top and the fifteen exceptions of the core, SysTick last; no peripheral interrupt is ever enabled. */
typedef union {
    uint32_t *stack;
    void (*handler)(void);
} target_vector_t;

__attribute__((section(".vectors"), used)) static const target_vector_t vectors[16] = {
    {.stack = target_stack_top}, {.handler = target_reset}, {.handler = target_fault}, {.handler = target_fault},
    {.handler = target_fault},   {.handler = target_fault}, {.handler = target_fault}, {.stack = (uint32_t *)0},
    {.stack = (uint32_t *)0},    {.stack = (uint32_t *)0},  {.stack = (uint32_t *)0},  {.handler = target_fault},
    {.handler = target_fault},   {.stack = (uint32_t *)0},  {.handler = target_fault}, {.handler = target_systick},
};
