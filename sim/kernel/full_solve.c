#include "full_solve.h"

#include "full_junction.h"
#include "full_scan.h"

#define MOST_STEPS 10
#define LARGEST_STEP 2.0     /* of w, as far as the logarithm's near-linearity is trusted */
#define LONG_STEP 0.1        /* after a longer one, a small step may be chance */
#define SET_GUESS 0.2        /* R_j over the other resistances */
#define W_TOLERANCE 3e-11    /* estimated error of w at which a point counts as solved */
#define LEAST_CURVATURE 0.3  /* error after a step over the step squared, at least */
#define FIRST_SHARE_OF_V 0.5 /* V_s below these shares of V and of the edge: certainly the first solution */
#define FIRST_SHARE_OF_EDGE 0.5
#define LEAST_V 1e-20 /* smaller voltages count as 0 */

/* Unknowns of one lane each; arrays of plain numbers so that loops over them become vector code. */
typedef struct {
    double v[LANES], r_disc[LANES], r_plug[LANES], r_linear[LANES], heat[LANES];
    double emission[LANES], lowering4[LANES], w00[LANES], per_w00[LANES];
    double j[LANES], r_j[LANES], step[LANES];
    double error[LANES]; /* of w; a lane whose error is within the tolerance rests */
} full_lanes;

INLINE full_point lane_point(const full_lanes *s, int k)
{
    const full_point p = {s->v[k],        s->r_disc[k],    s->r_plug[k], s->r_linear[k], s->heat[k],
                          s->emission[k], s->lowering4[k], s->w00[k],    s->per_w00[k]};
    return p;
}

/* First guess. RESET: the junction at the temperature and barrier that it has at V_s = 0, inverted for V_s.
 * SET: a share of V drops at the junction that pulses of common strength come near. */
INLINE void guess_lanes(const full_model *m, full_lanes *s, const int is_set)
{
    FOR_LANES {
        const full_point p = lane_point(s, k);
        double j = p.v_V / p.r_linear_Ohm;
        j = current_step(m, p.v_V, p.r_linear_Ohm, j);
        j = current_step(m, p.v_V, p.r_linear_Ohm, j);
        double r_j = SET_GUESS * p.r_linear_Ohm;
        if (!is_set) {
            const double t = temperature(m, &p, j, 0.0);
            const double kt = m->k_V_K * t;
            const double edge = m->edge_V > 0.0 ? m->edge_V : 0.0;
            const double left = m->barrier_V - sqrt(sqrt(p.lowering4_V3 * edge));
            const double y = j / (p.emission_A_K * t * t * exp_quick(-(left > 0.0 ? left : 0.0) / kt));
            r_j = kt * (y < 1e-4 ? y : log_rough(1.0 + (y < 1e4 ? y : 1e4))) / j;
        }
        s->r_j[k] = r_j;
        s->j[k] = current_step(m, p.v_V, p.r_linear_Ohm + r_j, j);
        s->step[k] = 1.0;
        s->error[k] = 1.0;
    }
}

/* One Newton step of w in every lane that is not solved yet. Two loops: short ones overlap in the machine. */
INLINE void step_lanes(const full_model *m, full_lanes *s, const int is_set)
{
    double ratios[LANES], slope[LANES], share[LANES];
    FOR_LANES {
        const full_point p = lane_point(s, k);
        const full_state at = state_at(m, &p, s->j[k], s->r_j[k], is_set);
        const full_trial f = trial_of(&p, &at, s->j[k], is_set);
        share[k] = at.share;
        ratios[k] = f.ratio;
        slope[k] = f.slope;
    }
    FOR_LANES {
        const double j = s->j[k];
        const double r_j = s->r_j[k];
        double ratio = ratios[k] > 1e-300 ? ratios[k] : 1e-300;
        ratio = ratio < 1e300 ? ratio : 1e300;
        const int rising = slope[k] > 0.0;
        double step = -log_rough(ratio) / (rising ? slope[k] : 1.0);
        step = step < LARGEST_STEP ? step : LARGEST_STEP;
        step = step > -LARGEST_STEP ? step : -LARGEST_STEP;
        /* Newton's error after a step is a curvature times its square; the last two steps tell the curvature. */
        const double before = s->step[k];
        const double size2 = step * step;
        const double curvature = fabs(step) / (before * before);
        double error = size2 * (curvature > LEAST_CURVATURE ? curvature : LEAST_CURVATURE);
        error = fabs(before) <= LONG_STEP ? error : 1.0;
        error = rising ? error : 1.0;
        const double grown = r_j * ((12.0 + 6.0 * step + size2) / (12.0 - 6.0 * step + size2)); /* ~ exp(step) */
        const double followed = 1.0 - share[k] * step;
        const double predicted = j * (followed > 0.1 ? followed : 0.1);
        double moved = current_step(m, s->v[k], s->r_linear[k] + grown, predicted);
        /* A correction here means that j was not on the circuit, and w is wrong by as much. */
        error = fabs(moved - predicted) <= W_TOLERANCE * j ? error : 1.0;
        moved = current_step(m, s->v[k], s->r_linear[k] + grown, moved);
        const int rests = s->error[k] <= W_TOLERANCE;
        s->r_j[k] = rests ? r_j : grown;
        s->j[k] = rests ? j : moved;
        s->step[k] = rests ? before : step;
        s->error[k] = rests ? s->error[k] : error;
    }
}

INLINE void load_lanes(const full_model *m, full_lanes *s, const full_points *in, const int64_t *owner,
                       const int is_set)
{
    double v[LANES], r[LANES], l[LANES], n[LANES];
    FOR_LANES {
        v[k] = fabs(in->v_V[owner[k]]);
        r[k] = in->r_m[owner[k]];
        l[k] = in->l_m[owner[k]];
        n[k] = in->n[owner[k]];
    }
    FOR_LANES {
        const full_point p = point_of(m, v[k], r[k], l[k], n[k], is_set);
        s->v[k] = p.v_V;
        s->r_disc[k] = p.r_disc_Ohm;
        s->r_plug[k] = p.r_plug_Ohm;
        s->r_linear[k] = p.r_linear_Ohm;
        s->heat[k] = p.heat_K_W;
        s->emission[k] = p.emission_A_K;
        s->lowering4[k] = p.lowering4_V3;
        s->w00[k] = p.w00_V;
        s->per_w00[k] = p.per_w00_V;
    }
}

INLINE void store_lane(const full_model *m, const full_circuit *out, int64_t i, const full_point *p, double sign,
                       double j, double r_j)
{
    out->i_A[i] = sign * j;
    out->v_s_V[i] = sign * (j * r_j);
    out->t_K[i] = temperature(m, p, j, r_j);
    out->r_disc_Ohm[i] = p->r_disc_Ohm;
    out->r_plug_Ohm[i] = p->r_plug_Ohm;
    out->r_series_Ohm[i] = m->r_series_Ohm + m->heating_Ohm_A2 * j * j;
}

/* Solve the points named by `owner`, LANES of them; the first `filled` are stored. Returns how many were scanned. */
INLINE int64_t solve_lanes(const full_model *m, const full_points *in, const full_circuit *out, int64_t *owner,
                           int filled, const int is_set)
{
    full_lanes s;
    int64_t scanned = 0;
    for (int k = filled; k < LANES; k++) {
        owner[k] = owner[0]; /* idle lanes repeat a point */
    }
    load_lanes(m, &s, in, owner, is_set);
    guess_lanes(m, &s, is_set);
    for (int steps = 0; steps < MOST_STEPS; steps++) {
        step_lanes(m, &s, is_set);
        int open = 0;
        FOR_LANES {
            open |= !(s.error[k] <= W_TOLERANCE);
        }
        if (!open) {
            break;
        }
    }
    FOR_LANES {
        s.j[k] = current_step(m, s.v[k], s.r_linear[k] + s.r_j[k], s.j[k]);
        s.j[k] = current_step(m, s.v[k], s.r_linear[k] + s.r_j[k], s.j[k]);
    }
    for (int k = 0; k < filled; k++) {
        const full_point p = lane_point(&s, k);
        const double x = s.j[k] * s.r_j[k];
        const int first = is_set || (x < FIRST_SHARE_OF_V * p.v_V && x < FIRST_SHARE_OF_EDGE * m->edge_V);
        if (!(first && s.error[k] <= W_TOLERANCE)) {
            full_scan(m, &p, is_set, &s.j[k], &s.r_j[k]);
            scanned++;
        }
        store_lane(m, out, owner[k], &p, is_set ? -1.0 : 1.0, s.j[k], s.r_j[k]);
    }
    return scanned;
}

INLINE int64_t full_solve_in_lanes(const full_model *model, const full_points *in, const full_circuit *out,
                                   int64_t first, int64_t count)
{
    const full_model m = *model;
    int64_t set[LANES], reset[LANES];
    int sets = 0;
    int resets = 0;
    int64_t scanned = 0;
    for (int64_t i = first; i < first + count; i++) {
        const double v = in->v_V[i];
        if (v <= -LEAST_V) {
            set[sets++] = i;
        } else if (v >= LEAST_V) {
            reset[resets++] = i;
        } else {
            const full_point p = point_of(&m, 0.0, in->r_m[i], in->l_m[i], in->n[i], 0);
            store_lane(&m, out, i, &p, 1.0, 0.0, 0.0);
        }
        const int last = i == first + count - 1;
        if (sets == LANES || (last && sets > 0)) {
            scanned += solve_lanes(&m, in, out, set, sets, 1);
            sets = 0;
        }
        if (resets == LANES || (last && resets > 0)) {
            scanned += solve_lanes(&m, in, out, reset, resets, 0);
            resets = 0;
        }
    }
    return scanned;
}

WIDEST_VECTORS(int64_t, full_solve,
               (const full_model *model, const full_points *in, const full_circuit *out, int64_t first, int64_t count),
               (model, in, out, first, count))
