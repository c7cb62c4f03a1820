/* The slow, certain way to solve one point: a scan for the first sign change, then bisection. */
#ifndef FULL_SCAN_H
#define FULL_SCAN_H

#include "full_junction.h"

/* Operating point with the smallest junction voltage: its current j and static junction resistance r_j. */
void full_scan(const full_model *m, const full_point *p, int is_set, double *j, double *r_j);

#endif
