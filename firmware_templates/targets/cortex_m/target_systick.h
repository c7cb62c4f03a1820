/* The one interrupt that a HAL may use: SysTick's. Without a handler of the board's it ends in a reset like any other.
 */
#ifndef OURO_TARGET_SYSTICK_H
#define OURO_TARGET_SYSTICK_H

void target_systick(void);

#endif
