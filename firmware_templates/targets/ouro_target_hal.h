/*
 * ouro_hal.h of a target: the board's own peripherals, or a simulated bench on the bench line.
 *
 * The bench link is off after a reset. A line "LINK" on the bench line, taken between two programs only, switches it on
 * until the next reset. From then on this HAL sends
 *
 *     V v_uV                   ask for the voltage that the bench's DAC gives
 *     R row,column,v_uV,n_avg  read the cell
 *     P row,column,v_uV,ticks  pulse the cell
 *     S                        all outputs safe; has no answer
 *
 * and the bench answers with v_uV, with g_nS,saturated, or with the ticks given. Everything above this HAL -
 * controller, predictor, protocol - is the same machine code with the link on or off.
 */
#ifndef OURO_TARGET_HAL_H
#define OURO_TARGET_HAL_H

#include <stdbool.h>

#include "ouro_hal.h"

/* The target's one HAL. */
ouro_hal_t *ouro_target_hal(void);

/* Look for "LINK" on the bench line; call it between two programs. */
void ouro_target_listen(void);

#endif
