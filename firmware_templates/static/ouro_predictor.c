#include "ouro_predictor.h"

#include <stddef.h>

#include "ouro_config.h"
#include "ouro_dense.h"
#include "ouro_exp2.h"
#include "ouro_fixed.h"
#include "ouro_network.h"

_Static_assert(OURO_NETWORK_RUNTIME_VERSION == OURO_RUNTIME_VERSION, "generate ouro_network again");
_Static_assert(OURO_CONFIG_RUNTIME_VERSION == OURO_RUNTIME_VERSION, "generate ouro_config.h again");
_Static_assert(OURO_G_MIN_nS < OURO_G_MAX_nS, "the trained window must be ordered");
_Static_assert(OURO_MIN_ticks <= OURO_MAX_ticks, "the timer's range must be ordered");

/* From nS to the network's integer input: sat16(rshift_round(value - offset, shift)).
 * The caller has clamped the value, so that the difference fits int32_t. */
static int16_t quantise_input(int32_t value_nS, const ouro_input_t *input)
{
    return ouro_sat16(ouro_rshift_round(value_nS - input->offset_nS, input->shift), INT16_MIN);
}

/* Run every layer; returns the output layer's accumulator. Activations alternate between two buffers: a layer
 * reads one and writes the other. */
static int32_t run_network(int32_t g_start_nS, int32_t delta_g_nS)
{
    _Alignas(uint32_t) int16_t activations[2][OURO_NETWORK_BUFFER_LENGTH];
    uint32_t filled = 0U;

    activations[filled][0] = quantise_input(g_start_nS, &ouro_network_inputs[0]);
    activations[filled][1] = quantise_input(delta_g_nS, &ouro_network_inputs[1]);
    for (uint32_t i = 2U; i < OURO_NETWORK_INPUT_LENGTH; i++) {
        activations[filled][i] = 0;
    }
    for (uint32_t i = 0U; i + 1U < OURO_NETWORK_LAYERS; i++) {
        ouro_dense(&ouro_network_layers[i], activations[filled], activations[1U - filled]);
        filled = 1U - filled;
    }
    return ouro_dense_output(&ouro_network_layers[OURO_NETWORK_LAYERS - 1U], activations[filled]);
}

/* OURO_ENCODING_LINEAR_S: |acc| is the pulse width, its sign the direction.
 * |acc| <= 2**31 - 1 (proven) and multiplier < 2**31, so product plus rounding stay below 2**63. */
static uint32_t decode_linear(int32_t acc)
{
    const int64_t magnitude = (acc < 0) ? -(int64_t)acc : (int64_t)acc;
    const int64_t ticks = ouro_rshift_round64(magnitude * OURO_NETWORK_DECODE_MULTIPLIER, OURO_NETWORK_DECODE_SHIFT);

    return (ticks > (int64_t)OURO_MAX_ticks) ? OURO_MAX_ticks : (uint32_t)ticks;
}

/* OURO_ENCODING_LOG10_S: acc is log2(ticks), here brought to Q16. */
static uint32_t decode_log(int32_t acc)
{
    const int64_t wide = ouro_rshift_round64((int64_t)acc * OURO_NETWORK_DECODE_MULTIPLIER, OURO_NETWORK_DECODE_SHIFT);
    const int64_t limit = INT64_C(31) << 16; /* beyond every timer */
    const int64_t limited = (wide > limit) ? limit : ((wide < -limit) ? -limit : wide);

    return ouro_exp2_q16((int32_t)limited);
}

static ouro_direction_t direction_of(int32_t difference)
{
    if (difference == 0) {
        return OURO_NO_PULSE;
    }
    return (difference > 0) ? OURO_SET : OURO_RESET;
}

ouro_status_t ouro_predict(int32_t g_start_nS, int32_t g_target_nS, ouro_pulse_t *pulse)
{
    if (pulse == NULL) {
        return OURO_ERR_NULL;
    }
    pulse->direction = OURO_NO_PULSE;
    pulse->width_ticks = 0U;
    if ((g_target_nS < OURO_G_MIN_nS) || (g_target_nS > OURO_G_MAX_nS)) {
        return OURO_ERR_TARGET_RANGE;
    }
    if (g_start_nS == g_target_nS) {
        return OURO_NO_PULSE_NEEDED;
    }

    const int32_t start_nS = ouro_clamp(g_start_nS, OURO_G_MIN_nS, OURO_G_MAX_nS);
    const int32_t acc = run_network(start_nS, g_target_nS - start_nS);
    uint32_t width_ticks;

    if (OURO_NETWORK_ENCODING == OURO_ENCODING_LINEAR_S) {
        pulse->direction = direction_of(acc);
        width_ticks = decode_linear(acc);
    } else {
        /* The true start decides: a start outside the window still has a right direction. */
        pulse->direction = (g_target_nS > g_start_nS) ? OURO_SET : OURO_RESET;
        width_ticks = decode_log(acc);
    }
    if (pulse->direction == OURO_NO_PULSE) {
        return OURO_NO_PULSE_NEEDED;
    }
    if (width_ticks < OURO_MIN_ticks) {
        width_ticks = OURO_MIN_ticks;
    }
    pulse->width_ticks = (width_ticks > OURO_MAX_ticks) ? OURO_MAX_ticks : width_ticks;
    return OURO_OK;
}
