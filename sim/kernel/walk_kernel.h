/* Hot loop of noisy devices: any model's state rate from a table, random walks, one pulse voltage, explicit Euler.
 *
 * Results are the same bits on every machine, for every vector width and for any number of threads, and equal to the
 * NumPy twin in sim/surface_stepper.py: only +, -, *, comparisons, conversions and integer arithmetic are used,
 * without contraction to fused multiply-add.
 */
#ifndef WALK_KERNEL_H
#define WALK_KERNEL_H

#include <stdint.h>

/* The table's layout: cells per octave of N are 2^WALK_CELL_BITS, named by the exponent and the first mantissa bits. */
enum { WALK_CELL_BITS = 6, WALK_COEFFICIENTS = 22 };

/* log2 of |dN| per step at one voltage, by cells of N and blocks of filament radius and disc length; the meaning
 * of a row's coefficients is that of sim/rate_surface.py. */
typedef struct {
    const float *rows; /* [cells][r_blocks][l_blocks][WALK_COEFFICIENTS] */
    int32_t first_cell;
    int32_t r_blocks, l_blocks;
    float r_low, r_blocks_per; /* block number of a ratio r / r_0: (ratio - r_low) * r_blocks_per */
    float l_low, l_blocks_per;
    float direction; /* +1: N grows, -1: N falls */
} rate_surface;

/* Random walks of r/r_0, l/l_0 and the two window bounds, drawn every `cadence_steps` steps:
 * x <- clamp(x (1 + s u)), u one of 2^16 equidistant values within (-1, 1). */
typedef struct {
    uint64_t seed;
    int64_t cadence_steps; /* 0: no walks */
    double s[4];
} walk_noise;

/* State of `count` devices. Arrays of 4 x count hold r/r_0, l/l_0, lower and upper bound of N [1e26 m^-3]. */
typedef struct {
    double *n;
    float *walking;
    const float *lowest, *highest; /* what the walks are clamped to */
    const float *moves;            /* or NULL: r and l are (moves[0] + moves[1] N) r and (moves[2] + moves[3] N) l */
    int64_t *step;                 /* steps each device has lived through: the random counter */
    const uint32_t *device;        /* random stream of each device */
} walk_devices;

/* Advance device i by at most n_steps[i] steps.
 *
 * n_stop (may be NULL): stop after the step that reaches this concentration.
 * n_before receives N one step before the last, n_done the steps taken.
 * trace (may be NULL): N after each step, device i from trace_offset[i] on.
 */
void walk_run(const rate_surface *surface, const walk_noise *noise, const walk_devices *devices, int64_t count,
              const int64_t *n_steps, const double *n_stop, double *n_before, int64_t *n_done,
              const int64_t *trace_offset, double *trace);

/* Philox4x32-7 of one counter, for known-answer tests; returns how many forms of it this machine has that agree. */
int walk_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
