/* The full model's circuit equations at one trial point, shared by the fast path and the scan.
 *
 * Everything is in magnitudes: v = |V|, j = |I|, x = |V_s|. The unknown is w = ln R_j, R_j = x / j being the
 * junction's static resistance: j follows from the circuit as the root of a cubic, and the logarithm of
 * (junction current) / j is nearly linear in w, both where the junction decides the current and where it does not.
 */
#ifndef FULL_JUNCTION_H
#define FULL_JUNCTION_H

#include <math.h>

#include "full_solve.h"
#include "lane_math.h"

#define PI 3.141592653589793

/* One point's inputs and what follows from them. */
typedef struct {
    double v_V;
    double r_disc_Ohm, r_plug_Ohm;
    double r_linear_Ohm; /* all resistance except the junction's and the line's own heating */
    double heat_K_W;     /* thermal resistance at this area and polarity */
    double emission_A_K; /* area * Richardson constant: A/K^2 in RESET; / k * sqrt(pi W00): A/(K V^0.5) in SET */
    double lowering4_V3;
    double w00_V;
    double per_w00_V;
} full_point;

/* What a trial (j, R_j) means for the junction. A leading d: the derivative by w along the circuit. */
typedef struct {
    double x, dx;
    double share; /* -d ln(j) */
    double t, per_kt, dln_t;
    double barrier, dbarrier;
} full_state;

/* Where a trial stands. */
typedef struct {
    double ratio; /* current the junction passes / j */
    double slope; /* d ln(ratio) */
} full_trial;

INLINE full_point point_of(const full_model *m, double v, double r, double l, double n, const int is_set)
{
    full_point p;
    const double area = PI * r * r;
    const double mobility = m->mobility_A_m_V * area;
    p.v_V = v;
    p.r_disc_Ohm = l / (n * mobility);
    p.r_plug_Ohm = (m->l_cell_m - l) / (m->n_plug * mobility);
    p.r_linear_Ohm = p.r_disc_Ohm + p.r_plug_Ohm + m->r_series_Ohm;
    p.heat_K_W = (is_set ? m->r_th_set_K_W : m->r_th_reset_K_W) * (m->area0_m2 / area);
    p.lowering4_V3 = m->lowering4_V3 * n;
    p.w00_V = m->w00_V * sqrt(n);
    p.per_w00_V = 1.0 / p.w00_V;
    p.emission_A_K = area * m->richardson_A_m2K2 * (is_set ? sqrt(PI * p.w00_V) / m->k_V_K : 1.0);
    return p;
}

/* One Newton step of the circuit's cubic, heating j^3 + resistance j = v. */
INLINE double current_step(const full_model *m, double v, double resistance, double j)
{
    const double heating = m->heating_Ohm_A2 * j * j;
    return (v + 2.0 * heating * j) / (resistance + 3.0 * heating);
}

INLINE double temperature(const full_model *m, const full_point *p, double j, double r_j)
{
    return m->t0_K + p->heat_K_W * j * j * (p->r_disc_Ohm + p->r_plug_Ohm + r_j);
}

/* x - tanh(x) without cancellation, given the tanh. */
INLINE double minus_tanh(double x, double tanh_x)
{
    const double q = x * x;
    const double q2 = q * q;
    const double q4 = q2 * q2;
    const double c0 =
        (0.3333333333333333 - 0.13333333333333333 * q) + (0.05396825396825397 - 0.021869488536155203 * q) * q2;
    const double c4 =
        (0.008863235529902197 - 0.003592128036572481 * q) + (0.0014558343870513183 - 0.000590027440945586 * q) * q2;
    const double p = c0 + q4 * (c4 + q4 * 0.00023912911424355248);
    return q < 0.09 ? p * q * x : x - tanh_x;
}

/* Temperature and barrier at the trial (j, R_j), and their changes along the circuit. */
INLINE full_state state_at(const full_model *m, const full_point *p, double j, double r_j, const int is_set)
{
    full_state s;
    s.share = r_j / (p->r_linear_Ohm + r_j + 3.0 * m->heating_Ohm_A2 * j * j);
    s.x = j * r_j;
    s.dx = s.x * (1.0 - s.share);
    const double r_inner = p->r_disc_Ohm + p->r_plug_Ohm;
    const double heat = p->heat_K_W * j * j;
    s.t = m->t0_K + heat * (r_inner + r_j);
    s.per_kt = 1.0 / (m->k_V_K * s.t);
    s.dln_t = heat * (r_j - 2.0 * s.share * (r_inner + r_j)) * m->k_V_K * s.per_kt;
    /* Image-force lowering, (N psi)^(1/4): none beyond the edge, and never below a barrier of 0. */
    double psi = is_set ? m->edge_V + s.x : m->edge_V - s.x;
    const int lowers = psi > 0.0;
    psi = lowers ? psi : 0.0;
    const double lowering = sqrt(sqrt(p->lowering4_V3 * psi));
    const double left = m->barrier_V - lowering;
    const double steepness = 0.25 * lowering / (lowers ? psi : 1.0) * s.dx;
    s.barrier = left > 0.0 ? left : 0.0;
    s.dbarrier = left > 0.0 ? (is_set ? -steepness : steepness) : 0.0;
    return s;
}

/* SET: thermionic-field emission of the reverse-biased junction. */
INLINE full_trial field_emission(const full_point *p, const full_state *s, double j)
{
    const double rho = p->w00_V * s->per_kt;
    const double drho = -rho * s->dln_t;
    const double e = expm1_quick(2.0 * rho);
    const double per_e = 1.0 / (e + 2.0);
    const double tanh_rho = e * per_e;
    const double sech2 = 4.0 * ((e + 1.0) * per_e) * per_e;
    const double tunnel = minus_tanh(rho, tanh_rho); /* W00 / W' */
    const double level = s->x + s->barrier * sech2;
    const double dlevel = s->dx + s->dbarrier * sech2 - 2.0 * s->barrier * tanh_rho * sech2 * drho;
    const double blocked = s->barrier * tanh_rho * p->per_w00_V; /* barrier / W0 */
    const double dblocked = (s->dbarrier * tanh_rho + s->barrier * sech2 * drho) * p->per_w00_V;
    const double z = s->x * tunnel * p->per_w00_V; /* V_s / W' */
    const double dz = (s->dx * tunnel + s->x * tanh_rho * tanh_rho * drho) * p->per_w00_V;
    const double growth = expm1_quick(z);
    full_trial f;
    f.ratio = p->emission_A_K * s->t * sqrt(level) * exp_quick(-blocked) * growth / j;
    f.slope = s->dln_t + 0.5 * dlevel / level - dblocked + dz + dz / growth + s->share;
    return f;
}

/* RESET: thermionic emission of the forward-biased junction. */
INLINE full_trial thermionic_emission(const full_point *p, const full_state *s, double j)
{
    const double y = s->x * s->per_kt;
    const double dy = s->dx * s->per_kt - y * s->dln_t;
    const double blocked = s->barrier * s->per_kt;
    const double dblocked = s->dbarrier * s->per_kt - blocked * s->dln_t;
    const double growth = expm1_quick(y);
    full_trial f;
    f.ratio = p->emission_A_K * s->t * s->t * exp_quick(-blocked) * growth / j;
    f.slope = 2.0 * s->dln_t - dblocked + dy + dy / growth + s->share;
    return f;
}

INLINE full_trial trial_of(const full_point *p, const full_state *s, double j, const int is_set)
{
    return is_set ? field_emission(p, s, j) : thermionic_emission(p, s, j);
}

#endif
