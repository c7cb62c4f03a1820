/* Hot loop of the noise-free simplified JART VCM v1b: many devices, one pulse voltage, explicit Euler, exact rates.
 *
 * Only +, -, *, /, comparisons, integer arithmetic and an exponential written here are used, without
 * contraction to fused multiply-add: results are the same bits on every machine, for every vector width and
 * for any number of threads, and equal to the NumPy twin in sim/exact_stepper.py.
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

/* Arrays of n devices. N in 1e26 m^-3, lengths in m; N is kept within low .. high. */
typedef struct {
    double *n;
    const double *r, *l, *low, *high;
} jart_devices;

/* Advance device i by at most n_steps[i] steps.
 *
 * n_stop (may be NULL): stop after the step that reaches this concentration; n_before receives N one step earlier.
 * trace (may be NULL): N after each step, device i from trace_offset[i] on.
 * n_done receives the steps taken.
 */
void jart_run(const jart_table *table, const jart_devices *devices, int64_t count, const int64_t *n_steps,
              const double *n_stop, double *n_before, int64_t *n_done, const int64_t *trace_offset, double *trace);

/* Greedy piecewise-linear knots of y[0..n-1]: linear interpolation between y[knot] stays within `tolerance`.
 * Knots are samples; the first is 0, the last n-1. Returns their number (knots has room for n). */
int64_t jart_knots(const double *y, int64_t n, double tolerance, uint32_t *knots);

/* Conductance of each concentration through a cubic table of the same layout, one function per cell. */
void jart_lookup(const double *cubics, int64_t first_cell, int64_t count, const double *n, double *out);

#endif
