#include "ouro_predictor.h"

#include <stdbool.h>
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

#ifndef OURO_NETWORK_KNOWS_ERROR
#define OURO_NETWORK_KNOWS_ERROR 0
#endif

#define MOST_MODEST_permille 1000U
#define ppm_PER_permille 1000U
#define ERROR_UNKNOWN_ppm UINT32_MAX /* no wish is that modest */

#if OURO_NETWORK_KNOWS_DEVICE
enum {
    SURE_PULSES = 4,  /* the network sees no difference between more */
    RATE_UNIT = 256,  /* from 1/16 octave to the input's integers */
    PULSE_UNIT = 8192 /* from pulses to the input's integers */
};
#endif

/* A move within the trained window, and its true direction. */
typedef struct {
    int32_t g_start_nS;
    int32_t delta_g_nS;
    ouro_direction_t direction;
    ouro_device_state_t known; /* of the device */
} ouro_move_t;

/* What a pulse has to keep to. */
typedef struct {
    uint32_t longest_ticks; /* OURO_MIN_ticks .. OURO_MAX_ticks */
    uint32_t wish_ppm;      /* 0: none */
} ouro_wanted_t;

/* The accumulators of the output layer. */
typedef struct {
    int32_t time;
    int32_t error;
} ouro_outputs_t;

/* What the network says of one voltage. */
typedef struct {
    ouro_direction_t direction;
    uint32_t width_ticks;
    uint32_t error_ppm; /* to be expected of a pulse that long */
} ouro_answer_t;

/* From a value in its integer unit to the network's integer input: sat16(rshift_round(value - offset, shift)).
 * The caller has clamped the value, so that the difference fits int32_t. */
static int16_t quantise_input(int32_t value, const ouro_input_t *input)
{
    return ouro_sat16(ouro_rshift_round(value - input->offset, input->shift), INT16_MIN);
}

/* Run every layer; returns the output layer's accumulators. Activations alternate between two buffers: a layer
 * reads one and writes the other. A network of fixed voltages does not see `v_reduction_uV`. */
static ouro_outputs_t run_network(const ouro_move_t *move, int32_t v_reduction_uV)
{
#if OURO_NETWORK_KNOWS_DEVICE
    const int32_t told = move->known.pulses;
    const int32_t pulses = (told < SURE_PULSES) ? told : SURE_PULSES;
    const int32_t values[4] = {move->g_start_nS, move->delta_g_nS, move->known.log2_rate_q4 * RATE_UNIT,
                               pulses * PULSE_UNIT};

    (void)v_reduction_uV;
#else
    const int32_t values[3] = {move->g_start_nS, move->delta_g_nS, v_reduction_uV};
#endif
    _Alignas(uint32_t) int16_t activations[2][OURO_NETWORK_BUFFER_LENGTH];
    uint32_t filled = 0U;

    for (uint32_t i = 0U; i < OURO_NETWORK_INPUTS; i++) {
        activations[filled][i] = quantise_input(values[i], &ouro_network_inputs[i]);
    }
    for (uint32_t i = OURO_NETWORK_INPUTS; i < OURO_NETWORK_INPUT_LENGTH; i++) {
        activations[filled][i] = 0;
    }
    for (uint32_t i = 0U; (i + 1U) < OURO_NETWORK_LAYERS; i++) {
        ouro_dense(&ouro_network_layers[i], activations[filled], activations[1U - filled]);
        filled = 1U - filled;
    }

    const ouro_outputs_t outputs = {
        .time = ouro_dense_output(&ouro_network_layers[OURO_NETWORK_LAYERS - 1U], activations[filled]),
#if OURO_NETWORK_KNOWS_ERROR
        .error = ouro_dense_output(&ouro_network_error_layer, activations[filled]),
#endif
    };

    return outputs;
}

/* OURO_ENCODING_LINEAR_S: |acc| is the pulse width, its sign the direction.
 * |acc| <= 2**31 - 1 (proven) and multiplier < 2**31, so product plus rounding stay below 2**63. */
static uint32_t decode_linear(int32_t acc)
{
    const int64_t magnitude = (acc < 0) ? -(int64_t)acc : (int64_t)acc;
    const int64_t ticks = ouro_rshift_round64(magnitude * OURO_NETWORK_DECODE_MULTIPLIER, OURO_NETWORK_DECODE_SHIFT);

    return (ticks > (int64_t)OURO_MAX_ticks) ? OURO_MAX_ticks : (uint32_t)ticks;
}

/* A logarithm: acc is log2 of the value, here brought to Q16. */
static uint32_t decode_log(int32_t acc, int64_t multiplier, uint32_t shift)
{
    const int64_t wide = ouro_rshift_round64((int64_t)acc * multiplier, shift);
    const int64_t limit = INT64_C(31) * 65536; /* beyond every timer */
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

/* One inference, decoded. The true start decides on the direction of a logarithm: a start outside the window still has
 * a right one. */
static ouro_answer_t answer_at(const ouro_move_t *move, int32_t v_reduction_uV)
{
    const ouro_outputs_t outputs = run_network(move, v_reduction_uV);
    ouro_answer_t answer = {.direction = move->direction, .error_ppm = ERROR_UNKNOWN_ppm};

    if (OURO_NETWORK_ENCODING == OURO_ENCODING_LINEAR_S) {
        answer.direction = direction_of(outputs.time);
        answer.width_ticks = decode_linear(outputs.time);
    } else {
        answer.width_ticks = decode_log(outputs.time, OURO_NETWORK_DECODE_MULTIPLIER, OURO_NETWORK_DECODE_SHIFT);
    }
#if OURO_NETWORK_KNOWS_ERROR
    answer.error_ppm = decode_log(outputs.error, OURO_NETWORK_ERROR_MULTIPLIER, OURO_NETWORK_ERROR_SHIFT);
#endif
    return answer;
}

/* Is the pulse possible as it is, and its expected error within the wish? */
static bool keeps_wish(const ouro_answer_t *answer, const ouro_wanted_t *wanted)
{
    return (answer->width_ticks >= OURO_MIN_ticks) && (answer->width_ticks <= wanted->longest_ticks) &&
           (answer->error_ppm <= wanted->wish_ppm);
}

#if OURO_NETWORK_SEES_VOLTAGE
/* A lower voltage makes a longer pulse, over which the device's noise averages out: the lowest one whose pulse fits the
 * budget, by bisection over the DAC's steps. Where that keeps a wish, the highest one that keeps it too, likewise. */
static ouro_answer_t choose_voltage(const ouro_move_t *move, const ouro_wanted_t *wanted, int32_t *v_uV)
{
    const bool is_set = move->direction == OURO_SET;
    const int32_t step_uV = is_set ? OURO_V_SET_STEP_uV : OURO_V_RESET_STEP_uV;
    const int32_t off_uV = is_set ? OURO_V_SET_OFF_uV : OURO_V_RESET_OFF_uV;
    uint32_t chosen = 0U;
    uint32_t beyond = (is_set ? OURO_V_SET_STEPS : OURO_V_RESET_STEPS) + 1U;
    ouro_answer_t answer = answer_at(move, off_uV);

    while ((beyond - chosen) > 1U) {
        const uint32_t middle = (chosen + beyond) / 2U;
        const ouro_answer_t found = answer_at(move, off_uV + ((int32_t)middle * step_uV));

        if (found.width_ticks <= wanted->longest_ticks) {
            chosen = middle;
            answer = found;
        } else {
            beyond = middle;
        }
    }

    uint32_t below = keeps_wish(&answer, wanted) ? 0U : chosen; /* steps before it do not keep the wish */

    while (below < chosen) {
        const uint32_t middle = (below + chosen) / 2U;
        const ouro_answer_t found = answer_at(move, off_uV + ((int32_t)middle * step_uV));

        if (keeps_wish(&found, wanted)) {
            chosen = middle;
            answer = found;
        } else {
            below = middle + 1U;
        }
    }
    *v_uV = is_set ? (OURO_V_SET_uV + ((int32_t)chosen * step_uV)) : (OURO_V_RESET_uV - ((int32_t)chosen * step_uV));
    return answer;
}
#else
/* The network was trained at one voltage for each direction. */
static ouro_answer_t choose_voltage(const ouro_move_t *move, const ouro_wanted_t *wanted, int32_t *v_uV)
{
    const ouro_answer_t answer = answer_at(move, 0);

    (void)wanted;
    *v_uV = (answer.direction == OURO_SET) ? OURO_V_SET_uV : OURO_V_RESET_uV;
    return answer;
}
#endif

ouro_status_t ouro_predict_precise(int32_t g_start_nS, int32_t g_target_nS, uint32_t budget_ticks,
                                   uint16_t wish_permille, const ouro_device_state_t *state, ouro_pulse_t *pulse)
{
    const ouro_device_state_t unknown = {0};

    if (pulse == NULL) {
        return OURO_ERR_NULL;
    }
    pulse->direction = OURO_NO_PULSE;
    pulse->width_ticks = 0U;
    pulse->v_uV = 0;
    if ((budget_ticks < OURO_MIN_ticks) || (wish_permille > MOST_MODEST_permille)) {
        return OURO_ERR_ARGUMENT;
    }
    if ((g_target_nS < OURO_G_MIN_nS) || (g_target_nS > OURO_G_MAX_nS)) {
        return OURO_ERR_TARGET_RANGE;
    }
    if (g_start_nS == g_target_nS) {
        return OURO_NO_PULSE_NEEDED;
    }

    const int32_t start_nS = ouro_clamp(g_start_nS, OURO_G_MIN_nS, OURO_G_MAX_nS);
    const ouro_move_t move = {.g_start_nS = start_nS,
                              .delta_g_nS = g_target_nS - start_nS,
                              .direction = (g_target_nS > g_start_nS) ? OURO_SET : OURO_RESET,
                              .known = (state != NULL) ? *state : unknown};
    const ouro_wanted_t wanted = {.longest_ticks = (budget_ticks > OURO_MAX_ticks) ? OURO_MAX_ticks : budget_ticks,
                                  .wish_ppm = (uint32_t)wish_permille * ppm_PER_permille};
    int32_t v_uV = 0;
    const ouro_answer_t answer = choose_voltage(&move, &wanted, &v_uV);

    if (answer.direction == OURO_NO_PULSE) {
        return OURO_NO_PULSE_NEEDED;
    }

    const uint32_t width_ticks = (answer.width_ticks < OURO_MIN_ticks) ? OURO_MIN_ticks : answer.width_ticks;

    pulse->direction = answer.direction;
    pulse->width_ticks = (width_ticks > wanted.longest_ticks) ? wanted.longest_ticks : width_ticks;
    pulse->v_uV = v_uV;
    return ((wish_permille == 0U) || keeps_wish(&answer, &wanted)) ? OURO_OK : OURO_NOT_PROMISED;
}

ouro_status_t ouro_predict_known(int32_t g_start_nS, int32_t g_target_nS, uint32_t budget_ticks,
                                 const ouro_device_state_t *state, ouro_pulse_t *pulse)
{
    if (state == NULL) {
        return OURO_ERR_NULL;
    }
    return ouro_predict_precise(g_start_nS, g_target_nS, budget_ticks, 0U, state, pulse);
}

ouro_status_t ouro_predict_within(int32_t g_start_nS, int32_t g_target_nS, uint32_t budget_ticks, ouro_pulse_t *pulse)
{
    return ouro_predict_precise(g_start_nS, g_target_nS, budget_ticks, 0U, NULL, pulse);
}

ouro_status_t ouro_predict(int32_t g_start_nS, int32_t g_target_nS, ouro_pulse_t *pulse)
{
    return ouro_predict_within(g_start_nS, g_target_nS, OURO_MAX_ticks, pulse);
}
