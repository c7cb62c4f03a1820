#include "ouro_device_state.h"

#include <stdbool.h>
#include <stddef.h>

#include "ouro_config.h"
#include "ouro_exp2.h"
#include "ouro_fixed.h"
#include "ouro_network.h"

_Static_assert(sizeof(ouro_device_state_t) == 2U, "an array of 64 x 64 states takes 8 KiB");

#if OURO_NETWORK_KNOWS_DEVICE

enum {
    OCTAVE_q8 = 256,
    MOST_STEP_q4 = 4194304, /* neighbouring reference times differ by less: the generator has checked */
    RATE_SCALE = 16,        /* from 1/16 to 1/256 octave */
    TIME_q8 = 1024,         /* reference times count in 1/16 ticks: four octaves */
    EXP2_SCALE = 256,       /* from 1/256 to 1/65536 octave */
    UNSEEN_q8 = -256        /* a pulse without a visible effect was at least an octave too short */
};

/* log2(value) in 1/256 octave, within 1/64 octave, for value >= 1: between powers of two log2(1 + x) is close to
 * x + 0.347 x (1 - x). */
static int32_t log2_q8(uint32_t value)
{
    uint32_t whole = 31U;

    while ((whole > 0U) && ((value >> whole) == 0U)) {
        whole--;
    }

    const uint32_t mantissa = (whole >= 8U) ? (value >> (whole - 8U)) : (value << (8U - whole));
    const int32_t octaves = (int32_t)whole;
    const int32_t x = (int32_t)(mantissa & 511U) - OCTAVE_q8; /* the mantissa is in 256 .. 511 */

    return (octaves * OCTAVE_q8) + x + ouro_rshift_round(x * (OCTAVE_q8 - x) * 89, 16U);
}

/* The reference's time to a conductance within the window. */
static int32_t time_q4(int32_t g_nS, ouro_direction_t direction)
{
    const int32_t *times = (direction == OURO_SET) ? ouro_reference_set_q4 : ouro_reference_reset_q4;
    const int32_t above_nS = g_nS - OURO_G_MIN_nS;
    const uint32_t place = ((uint32_t)above_nS * OURO_REFERENCE_PER_nS) >> 16U;
    const uint32_t at = place >> 8U;
    const uint32_t part = place & 255U;
    const int32_t left = times[at];
    const int32_t right = times[(at < OURO_REFERENCE_CELLS) ? (at + 1U) : OURO_REFERENCE_CELLS];
    const int32_t step_q4 = ouro_clamp(right - left, -MOST_STEP_q4, MOST_STEP_q4);

    return left + ouro_rshift_round(step_q4 * (int32_t)part, 8U);
}

/* log2 of the width in ticks that takes the reference from one conductance to the other; at least that of 1/16. */
static int32_t reference_log2_q8(int32_t g_from_nS, int32_t g_to_nS, ouro_direction_t direction)
{
    const int32_t from_q4 = time_q4(ouro_clamp(g_from_nS, OURO_G_MIN_nS, OURO_G_MAX_nS), direction);
    const int32_t to_q4 = time_q4(ouro_clamp(g_to_nS, OURO_G_MIN_nS, OURO_G_MAX_nS), direction);
    const int32_t width_q4 = to_q4 - from_q4;

    return log2_q8((width_q4 > 1) ? (uint32_t)width_q4 : 1U) - TIME_q8;
}

void ouro_device_state_update(ouro_device_state_t *state, int32_t g_before_nS, int32_t g_after_nS,
                              ouro_direction_t direction, uint32_t width_ticks)
{
    /* Share of a surprise that is believed after 0, 1, 2 and more pulses: their mean, then a fading memory. */
    static const int32_t gain_q8[4] = {256, 128, 85, 64};

    if ((state == NULL) || ((direction != OURO_SET) && (direction != OURO_RESET)) || (width_ticks == 0U)) {
        return;
    }

    const int64_t moved_nS = ((int64_t)g_after_nS - g_before_nS) * (int64_t)direction;
    const bool unseen = moved_nS < OURO_SMALLEST_MOVE_nS;
    const int64_t seen_nS = g_before_nS + ((unseen ? OURO_SMALLEST_MOVE_nS : moved_nS) * (int64_t)direction);
    const int64_t inside_nS =
        (seen_nS < OURO_G_MIN_nS) ? OURO_G_MIN_nS : ((seen_nS > OURO_G_MAX_nS) ? OURO_G_MAX_nS : seen_nS);
    const int32_t expected_q8 = reference_log2_q8(g_before_nS, (int32_t)inside_nS, direction);
    const int32_t rate_q4 = state->log2_rate_q4;
    const uint32_t known = (state->pulses < 3U) ? state->pulses : 3U;
    int32_t surprise_q8 = expected_q8 - log2_q8(width_ticks) - (rate_q4 * RATE_SCALE);

    if (unseen && (surprise_q8 > UNSEEN_q8)) {
        surprise_q8 = UNSEEN_q8;
    }

    const int32_t change_q4 = ouro_rshift_round(surprise_q8 * gain_q8[known], 12U);

    state->log2_rate_q4 = (int8_t)ouro_clamp(rate_q4 + change_q4, INT8_MIN, INT8_MAX);
    if (state->pulses < UINT8_MAX) {
        state->pulses++;
    }
}

ouro_status_t ouro_calibration_pulse(const ouro_device_state_t *state, int32_t g_nS, ouro_pulse_t *pulse)
{
    if ((state == NULL) || (pulse == NULL)) {
        return OURO_ERR_NULL;
    }

    const int32_t span_nS = OURO_G_MAX_nS - OURO_G_MIN_nS;
    const bool up = g_nS < (OURO_G_MIN_nS + (span_nS / 2));
    const int32_t target_nS = up ? (OURO_G_MAX_nS - (span_nS / 12)) : (OURO_G_MIN_nS + (span_nS / 12));
    const ouro_direction_t direction = up ? OURO_SET : OURO_RESET;
    const int32_t log2_width_q8 = reference_log2_q8(g_nS, target_nS, direction) - (state->log2_rate_q4 * RATE_SCALE);
    const uint32_t width_ticks = ouro_exp2_q16(log2_width_q8 * EXP2_SCALE);

    pulse->direction = direction;
    pulse->v_uV = up ? OURO_V_SET_uV : OURO_V_RESET_uV;
    pulse->width_ticks = (width_ticks > OURO_MAX_ticks) ? OURO_MAX_ticks : width_ticks;
    if (pulse->width_ticks < OURO_MIN_ticks) {
        pulse->width_ticks = OURO_MIN_ticks;
    }
    return OURO_OK;
}

#else

void ouro_device_state_update(ouro_device_state_t *state, int32_t g_before_nS, int32_t g_after_nS,
                              ouro_direction_t direction, uint32_t width_ticks)
{
    (void)state;
    (void)g_before_nS;
    (void)g_after_nS;
    (void)direction;
    (void)width_ticks;
}

ouro_status_t ouro_calibration_pulse(const ouro_device_state_t *state, int32_t g_nS, ouro_pulse_t *pulse)
{
    (void)g_nS;
    if ((state == NULL) || (pulse == NULL)) {
        return OURO_ERR_NULL;
    }
    *pulse = (ouro_pulse_t){.direction = OURO_NO_PULSE};
    return OURO_NO_PULSE_NEEDED;
}

#endif
