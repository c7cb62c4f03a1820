#include "jart_kernel.h"

#include <stddef.h>

#include "lane_math.h"

#define CELL_SHIFT 46 /* 64 cells per octave of N: exponent and six mantissa bits */

/* sqrt(1 - g^2) + g asin(g), even power series to g^18: within 1e-12 for |g| <= 0.4. */
INLINE double barrier_of(double gamma)
{
    const double q = gamma * gamma;
    double p = 0.0006417667164522059;
    p = p * q + 0.000872802734375;
    p = p * q + 0.001239483173076923;
    p = p * q + 0.001864346590909091;
    p = p * q + 0.0030381944444444445;
    p = p * q + 0.005580357142857143;
    p = p * q + 0.0125;
    p = p * q + 0.041666666666666664;
    p = p * q + 0.5;
    return p * q + 1.0;
}

/* Position of N in a table: the cell and the offset within it, both from the bits of N. */
INLINE int64_t cell_of(double n, int64_t first_cell)
{
    return (int64_t)(bits_of(n) >> CELL_SHIFT) - first_cell;
}
INLINE double offset_of(double n)
{
    const uint64_t mask = (UINT64_C(1) << CELL_SHIFT) - 1u;
    return double_of((bits_of(n) & mask) | UINT64_C(0x3ff0000000000000)) - 1.0;
}

typedef struct {
    double n[LANES], r[LANES], l[LANES], low[LANES], high[LANES];
    double n_stop[LANES], n_before[LANES];
    int64_t left[LANES], owner[LANES];
} lane_state;

/* One explicit Euler step of N in every lane. */
INLINE void euler_step(const jart_table *t, lane_state *s)
{
    double heat[LANES], field[LANES];
    FOR_LANES {
        const double *c = t->heat_field + 8 * cell_of(s->n[k], t->first_cell);
        const double x = offset_of(s->n[k]);
        heat[k] = ((c[6] * x + c[4]) * x + c[2]) * x + c[0];
        field[k] = ((c[7] * x + c[5]) * x + c[3]) * x + c[1];
    }
    const double set = (double)t->is_set;
    const double reset = 1.0 - set;
    FOR_LANES {
        const double n = s->n[k];
        const double ratio = t->r0_m / s->r[k];
        const double shrink = ratio * ratio; /* A_0 / A */
        const double gamma = field[k] * (set * shrink + reset);
        const double slope = t->dw_over_k_K / (t->t0_K + heat[k] * shrink);
        const double barrier = barrier_of(gamma);
        const double tilt = gamma * 1.5707963267948966;
        const double hop = exp_exact(-slope * (barrier - tilt)) - exp_exact(-slope * (barrier + tilt));
        const double f = set * (n / t->n_max) + reset * (t->n_min / n);
        const double f2 = f * f;
        const double f4 = f2 * f2;
        const double limit = 1.0 - f4 * f4 * f2;
        const double rate = t->half_attempt_m_s * (t->n_plug + n) * limit / s->l[k] * hop;
        s->n_before[k] = n;
        s->n[k] = n - t->dt_s * rate;
    }
}

INLINE void clamp_to_window(lane_state *s)
{
    FOR_LANES {
        double n = s->n[k];
        n = n < s->low[k] ? s->low[k] : n;
        s->n[k] = n > s->high[k] ? s->high[k] : n;
    }
}

INLINE void load_lane(lane_state *s, int k, const jart_devices *d, int64_t i, int64_t steps, double n_stop)
{
    s->n[k] = d->n[i];
    s->r[k] = d->r[i];
    s->l[k] = d->l[i];
    s->low[k] = d->low[i];
    s->high[k] = d->high[i];
    s->n_stop[k] = n_stop;
    s->n_before[k] = d->n[i];
    s->left[k] = steps;
    s->owner[k] = i;
}

INLINE void jart_run_in_lanes(const jart_table *table, const jart_devices *devices, int64_t count,
                              const int64_t *n_steps, const double *n_stop, double *n_before, int64_t *n_done,
                              const int64_t *trace_offset, double *trace)
{
    const jart_table t = *table;
    const double never = t.is_set ? 1e300 : 0.0;
    lane_state s;
    int64_t next = 0;
    int busy = 0;
    if (count <= 0) {
        return;
    }
    /* An idle lane repeats device 0's start state on a scratch copy and is never stored. */
    FOR_LANES {
        load_lane(&s, k, devices, 0, INT64_MAX, never);
        s.owner[k] = -1;
    }
    for (;;) {
        FOR_LANES {
            while (s.owner[k] < 0 && next < count) {
                if (n_steps[next] > 0) {
                    load_lane(&s, k, devices, next, n_steps[next], n_stop ? n_stop[next] : never);
                    busy++;
                } else {
                    n_done[next] = 0;
                }
                next++;
            }
        }
        if (busy == 0) {
            break;
        }
        int32_t finished = 0;
        while (finished == 0) {
            euler_step(&t, &s);
            FOR_LANES {
                s.left[k] -= 1;
            }
            clamp_to_window(&s);
            if (trace != NULL) {
                FOR_LANES {
                    if (s.owner[k] >= 0) {
                        trace[trace_offset[s.owner[k]] + n_steps[s.owner[k]] - s.left[k] - 1] = s.n[k];
                    }
                }
            }
            FOR_LANES {
                const int32_t reached = t.is_set ? s.n[k] >= s.n_stop[k] : s.n[k] <= s.n_stop[k];
                finished |= reached | (s.left[k] == 0);
            }
        }
        FOR_LANES {
            const int reached = t.is_set ? s.n[k] >= s.n_stop[k] : s.n[k] <= s.n_stop[k];
            const int64_t i = s.owner[k];
            if (i >= 0 && (reached || s.left[k] == 0)) {
                devices->n[i] = s.n[k];
                n_done[i] = n_steps[i] - s.left[k];
                if (n_before != NULL) {
                    n_before[i] = s.n_before[k];
                }
                s.owner[k] = -1;
                s.left[k] = INT64_MAX;
                s.n_stop[k] = never;
                busy--;
            }
        }
    }
}

WIDEST_VECTORS(void, jart_run,
               (const jart_table *table, const jart_devices *devices, int64_t count, const int64_t *n_steps,
                const double *n_stop, double *n_before, int64_t *n_done, const int64_t *trace_offset, double *trace),
               (table, devices, count, n_steps, n_stop, n_before, n_done, trace_offset, trace))

int64_t jart_knots(const double *y, int64_t n, double tolerance, uint32_t *knots)
{
    int64_t count = 0;
    int64_t anchor = 0;
    if (n <= 0) {
        return 0;
    }
    knots[count++] = 0u;
    while (anchor < n - 1) {
        /* Widest cone of slopes from the anchor that passes every sample so far within the tolerance;
         * the next knot is the last sample that lies inside the cone of those before it. */
        double low = -1e300;
        double high = 1e300;
        int64_t end = anchor + 1;
        for (int64_t i = anchor + 1; i < n; i++) {
            const double span = (double)(i - anchor);
            const double slope = (y[i] - y[anchor]) / span;
            if (slope >= low && slope <= high) {
                end = i;
            }
            const double slope_low = (y[i] - tolerance - y[anchor]) / span;
            const double slope_high = (y[i] + tolerance - y[anchor]) / span;
            low = slope_low > low ? slope_low : low;
            high = slope_high < high ? slope_high : high;
            if (low > high) {
                break;
            }
        }
        anchor = end;
        knots[count++] = (uint32_t)anchor;
    }
    return count;
}

void jart_lookup(const double *cubics, int64_t first_cell, int64_t count, const double *n, double *out)
{
    for (int64_t i = 0; i < count; i++) {
        const double *c = cubics + 4 * cell_of(n[i], first_cell);
        const double x = offset_of(n[i]);
        out[i] = ((c[3] * x + c[2]) * x + c[1]) * x + c[0];
    }
}
