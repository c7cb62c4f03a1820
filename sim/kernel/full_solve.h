/* Static circuit of the full-physics JART VCM v1b: junction, disc, plug and series resistance, many points.
 *
 * The operating point is that of sim/jart_full_reference.py, which states the physics. Results are the same bits on
 * every machine, for every order and grouping of the points and for any number of threads.
 */
#ifndef FULL_SOLVE_H
#define FULL_SOLVE_H

#include <stdint.h>

/* Parameters of the model, combined as the solver needs them; sim/jart_full.py fills them in. */
typedef struct {
    double t0_K;
    double k_V_K;             /* Boltzmann constant over e */
    double barrier_V;         /* phi_Bn0 */
    double edge_V;            /* phi_Bn0 - phi_n: no barrier lowering beyond this junction voltage */
    double lowering4_V3;      /* (lowering [V])^4 = this * N [1e26] * (edge - V_s) */
    double w00_V;             /* tunnelling energy / e at N = 1e26 m^-3; grows with sqrt N */
    double richardson_A_m2K2; /* effective Richardson constant */
    double mobility_A_m_V;    /* conductance of a disc times its length, at N = 1e26 m^-3 and an area of 1 m^2 */
    double l_cell_m;          /* disc and plug together */
    double n_plug;            /* 1e26 m^-3 */
    double r_series_Ohm;      /* oxide and line, cold */
    double heating_Ohm_A2;    /* the line's resistance rises by this * I^2 */
    double r_th_set_K_W;      /* thermal resistance at the nominal area */
    double r_th_reset_K_W;
    double area0_m2; /* nominal filament area */
} full_model;

/* Points to solve, arrays of one length. N in 1e26 m^-3. */
typedef struct {
    const double *v_V, *r_m, *l_m, *n;
} full_points;

/* Operating points, arrays of the same length. */
typedef struct {
    double *i_A, *v_s_V, *t_K, *r_disc_Ohm, *r_plug_Ohm, *r_series_Ohm;
} full_circuit;

/* Solve points first .. first + count - 1; returns how many of them the fast path handed to the scan. */
int64_t full_solve(const full_model *model, const full_points *in, const full_circuit *out, int64_t first,
                   int64_t count);

#endif
