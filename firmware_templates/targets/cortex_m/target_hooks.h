/* What a board's HAL may define in place of the start-up code's own. */
#ifndef OURO_TARGET_HOOKS_H
#define OURO_TARGET_HOOKS_H

/* The one interrupt that is ever enabled, SysTick's. Without a handler of the board's it ends in a reset. */
void target_systick(void);

/* Asks for a reset of the whole chip, pins included. By default the core's SYSRESETREQ. */
void target_reset_chip(void);

#endif
