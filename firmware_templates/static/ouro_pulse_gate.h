/*
 * The gate that every pulse goes through: the only place that knows the limits on voltage, length and number.
 *
 * It refuses and never clamps: a pulse other than the predicted one is not the one wanted.
 */
#ifndef OURO_PULSE_GATE_H
#define OURO_PULSE_GATE_H

#include <stdint.h>

#include "ouro_config.h"
#include "ouro_predictor.h"
#include "ouro_status.h"

#ifndef OURO_V_TOLERANCE_uV
#define OURO_V_TOLERANCE_uV OURO_DAC_LSB_uV /* voltage really set against voltage asked for */
#endif
#ifndef OURO_WIDTH_TOLERANCE
/* Length really given against length asked for: timers with a prescaler round long pulses, never short ones. */
#define OURO_WIDTH_TOLERANCE(ticks) ((ticks) / 64U)
#endif

/*
 * May `pulse` be given at `v_uV`, as the one after `pulses_given` pulses of this program? Asked with the voltage
 * wanted, again with the voltage really set, and again immediately before the pulse starts. Returns OURO_OK;
 * OURO_ERR_VOLTAGE when `v_uV` is more than OURO_V_TOLERANCE_uV from the pulse's voltage, or that one is none of this
 * direction's; OURO_ERR_LIMIT_VOLTAGE when it exceeds OURO_LIMIT_V_uV or its sign does not fit the direction (SET
 * negative, RESET positive, OURO_NO_PULSE never); OURO_ERR_LIMIT_WIDTH when the length lies outside OURO_MIN_ticks ..
 * OURO_LIMIT_PULSE_ticks; OURO_ERR_LIMIT_PULSES from OURO_LIMIT_ITERATIONS pulses on.
 */
ouro_status_t ouro_gate_check(const ouro_pulse_t *pulse, int32_t v_uV, uint16_t pulses_given);

/*
 * Was `pulse` given as asked? `ticks_given` is its real length, `v_after_uV` the driver's voltage after it.
 * Returns OURO_OK; OURO_ERR_VOLTAGE when a voltage beyond OURO_V_TOLERANCE_uV remains;
 * OURO_ERR_PULSE_LENGTH when the length is off by more than OURO_WIDTH_TOLERANCE.
 */
ouro_status_t ouro_gate_check_given(const ouro_pulse_t *pulse, uint32_t ticks_given, int32_t v_after_uV);

#endif
