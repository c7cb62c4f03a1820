/* Hot loop of the simplified JART VCM v1b: many devices, one pulse voltage, explicit Euler.
 *
 * Only +, -, *, /, comparisons, integer arithmetic and an exponential written in this file are used, without
 * contraction to fused multiply-add: results are the same bits on every machine, for every vector width and
 * for any number of threads, and equal to the NumPy twin in sim/stepper.py.
 */
#ifndef JART_KERNEL_H
#define JART_KERNEL_H

#include <stdint.h>

/* One voltage's current-dependent quantities as cubics of N; see sim/rate_table.py for the layout. */
typedef struct {
    const double *heat_field; /* [cells][4][2]: coefficient k of (heating [K], field) at nominal area */
    int64_t first_cell;       /* top bits of the smallest tabulated N */
    int64_t cells;
    double t0_K;
    double dw_over_k_K;      /* dW_A / k_B in kelvin */
    double half_attempt_m_s; /* a nu_0 / 2 */
    double n_plug;
    double n_max;
    double n_min;
    double r0_m;
    double dt_s;
    int32_t is_set; /* 1: V < 0, the field scales with 1/area */
} jart_table;

/* Cycle-to-cycle random walks, drawn every `cadence_steps` steps: x <- clamp(x (1 + s u), x_dev (1 -+ b)). */
typedef struct {
    uint64_t seed;
    int64_t cadence_steps; /* 0: no noise */
    double r_s, r_b, l_s, l_b, low_s, low_b, high_s, high_b;
} jart_walk;

/* State and per-device centres, arrays of n devices. N in 1e26 m^-3, lengths in m. */
typedef struct {
    double *n, *r, *l, *low, *high;
    const double *r_dev, *l_dev, *low_dev, *high_dev;
    int64_t *step;          /* steps each device has lived through: the random counter */
    const uint32_t *device; /* random stream of each device */
} jart_devices;

/* Advance device i by at most n_steps[i] steps.
 *
 * n_stop (may be NULL): stop after the step that reaches this concentration; n_before receives N one step earlier.
 * trace (may be NULL): N after each step, device i from trace_offset[i] on.
 * n_done receives the steps taken.
 */
void jart_run(const jart_table *table, const jart_walk *walk, const jart_devices *devices, int64_t count,
              const int64_t *n_steps, const double *n_stop, double *n_before, int64_t *n_done,
              const int64_t *trace_offset, double *trace);

/* Philox4x32-10 (Salmon et al., SC 2011) of one counter, for known-answer tests. */
void jart_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Greedy piecewise-linear knots of y[0..n-1]: linear interpolation between y[knot] stays within `tolerance`.
 * Knots are samples; the first is 0, the last n-1. Returns their number (knots has room for n). */
int64_t jart_knots(const double *y, int64_t n, double tolerance, uint32_t *knots);

/* Conductance of each concentration through a cubic table of the same layout, one function per cell. */
void jart_lookup(const double *cubics, int64_t first_cell, int64_t count, const double *n, double *out);

#endif
