#include "full_scan.h"

#define CELLS 256
#define MOST_HALVINGS 200
#define SMALL_STEP 1e-3

/* The trial at junction voltage x: sign of (junction current - circuit current) and of that ratio's slope. */
typedef struct {
    double x, j;
    int above;  /* the junction passes at least the circuit's current: the solution is not above x */
    int rising; /* the ratio of the two rises with x */
} probe;

static double circuit_current(const full_model *m, const full_point *p, double x)
{
    double j = (p->v_V - x) / p->r_linear_Ohm;
    for (int i = 0; i < MOST_HALVINGS; i++) {
        const double next = current_step(m, p->v_V - x, p->r_linear_Ohm, j);
        if (!(next < j)) { /* Newton comes down on the root until rounding stops it */
            break;
        }
        j = next;
    }
    return j;
}

static full_trial trial_at(const full_model *m, const full_point *p, double j, double r_j, int is_set)
{
    const full_state s = state_at(m, p, j, r_j, is_set);
    return trial_of(p, &s, j, is_set);
}

static probe probe_at(const full_model *m, const full_point *p, double x, int is_set)
{
    probe a = {x, circuit_current(m, p, x), 1, 1};
    if (a.j > 0.0) {
        const full_trial f = trial_at(m, p, a.j, x / a.j, is_set);
        a.above = f.ratio >= 1.0;
        a.rising = f.slope > 0.0;
    }
    return a;
}

/* Halve [low, high] down to neighbouring numbers: where `above` becomes true, or where `rising` ends. */
static probe halve(const full_model *m, const full_point *p, double low, double high, int is_set, int for_peak)
{
    probe a = probe_at(m, p, high, is_set);
    for (int i = 0; i < MOST_HALVINGS; i++) {
        const double middle = low + 0.5 * (high - low);
        if (!(middle > low && middle < high)) {
            break;
        }
        const probe b = probe_at(m, p, middle, is_set);
        if (for_peak ? !b.rising : b.above) {
            high = middle;
            a = b;
        } else {
            low = middle;
        }
    }
    return a;
}

/* First solution in (low, high], looking also under peaks between the grid points; x < 0 if there is none.
 * The grid is finer towards both ends. `top_falls`: the ratio is known to fall just below `high`. */
static probe first_solution(const full_model *m, const full_point *p, double low, double high, int top_falls)
{
    const probe none = {-1.0, 0.0, 0, 0};
    probe before = {low, 0.0, 0, 1};
    if (low > 0.0) {
        before = probe_at(m, p, low, 0);
    }
    for (int i = 1; i <= CELLS; i++) {
        const double s = (double)i / CELLS;
        const double x = i < CELLS ? low + (high - low) * (s * s * (3.0 - 2.0 * s)) : high;
        probe here = probe_at(m, p, x, 0);
        here.rising = here.rising && !(i == CELLS && top_falls);
        if (here.above) {
            return halve(m, p, before.x, x, 0, 0);
        }
        if (before.rising && !here.rising) {
            const probe peak = halve(m, p, before.x, x, 0, 1);
            if (peak.above) {
                return halve(m, p, before.x, peak.x, 0, 0);
            }
        }
        before = here;
    }
    return none;
}

/* Where nearly all of V drops at the junction, V - V_s keeps few digits; Newton steps of ln R_j restore them. */
static void sharpen(const full_model *m, const full_point *p, int is_set, double *j, double *r_j)
{
    for (int i = 0; i < 3; i++) {
        const full_trial f = trial_at(m, p, *j, *r_j, is_set);
        const double step = (1.0 - f.ratio) / f.slope; /* ln(ratio) ~ ratio - 1 so close to the solution */
        if (!(f.slope > 0.0 && fabs(step) < SMALL_STEP)) {
            break;
        }
        *r_j *= 1.0 + step;
        *j = current_step(m, p->v_V, p->r_linear_Ohm + *r_j, *j);
    }
}

void full_scan(const full_model *m, const full_point *p, int is_set, double *j, double *r_j)
{
    probe found = {-1.0, 0.0, 0, 0};
    if (is_set) {
        found = halve(m, p, 0.0, p->v_V, 1, 0); /* the only one, at the published parameters */
    } else {
        const int has_edge = m->edge_V > 0.0 && m->edge_V < p->v_V;
        if (has_edge) {
            found = first_solution(m, p, 0.0, m->edge_V, 1);
        }
        if (found.x < 0.0) {
            found = first_solution(m, p, has_edge ? m->edge_V : 0.0, p->v_V, 0);
        }
    }
    *j = found.j;
    *r_j = found.x / found.j;
    if (found.x > 0.9 * p->v_V) {
        sharpen(m, p, is_set, j, r_j);
    }
}
