#include "walk_kernel.h"

#include <stddef.h>

#include "lane_math.h"
#include "philox.h"

#define R 0 /* rows of the walking values */
#define L 1
#define LOW 2
#define HIGH 3

typedef struct {
    double n[WIDE], n_before[WIDE], n_stop[WIDE];
    float walking[4][WIDE], lowest[4][WIDE], highest[4][WIDE];
    float moves[4][WIDE];
    float a[WIDE], b[WIDE], x[WIDE];            /* places of r, l and N within their block and cell, -1 .. 1 */
    float coefficient[WALK_COEFFICIENTS][WIDE]; /* of each lane's row */
    int32_t row[WIDE];
    uint32_t block[2][WIDE], word[4][WIDE]; /* number and words of each lane's random block */
    int32_t shift[WIDE];                    /* brings the draw's half of a word to the top */
    int32_t is_due[WIDE];                   /* the walks move at the burst's last step */
    int64_t step[WIDE], left[WIDE], owner[WIDE];
    uint32_t device[WIDE];
} wide_state;

/* Lanes whose N, r or l left its cell or block take over the coefficients of the new one. */
INLINE void load_rows(const rate_surface *t, wide_state *s, const int32_t *row)
{
    for (int pair = 0; pair < WIDE; pair += 2) { /* most stay where they are: look at two at once */
        if (memcmp(&row[pair], &s->row[pair], 2 * sizeof row[0]) == 0) {
            continue;
        }
        for (int k = pair; k < pair + 2; k++) {
            const float *from = t->rows + (int64_t)row[k] * WALK_COEFFICIENTS;
            for (int i = 0; i < WALK_COEFFICIENTS; i++) {
                s->coefficient[i][k] = from[i];
            }
            s->row[k] = row[k];
        }
    }
}

/* Find every lane's cell and block, and its place there. */
INLINE void place_wide(const rate_surface *t, wide_state *s, const int is_plain)
{
    int32_t row[WIDE];
    int32_t any_left = 0;
    FOR_WIDE {
        s->x[k] = (float)s->n[k];
    }
    FOR_WIDE {
        const float n = s->x[k];
        const uint32_t bits = bits_of_float(n);
        const int32_t cell = (int32_t)(bits >> (23 - WALK_CELL_BITS)) - t->first_cell;
        float r = s->walking[R][k];
        float l = s->walking[L][k];
        if (is_plain) {
            s->a[k] = 2.0f * ((r - t->r_low) * t->r_blocks_per) - 1.0f;
            s->b[k] = 2.0f * ((l - t->l_low) * t->l_blocks_per) - 1.0f;
            row[k] = cell;
        } else {
            r *= s->moves[0][k] + s->moves[1][k] * n;
            l *= s->moves[2][k] + s->moves[3][k] * n;
            const float r_place = (r - t->r_low) * t->r_blocks_per;
            const float l_place = (l - t->l_low) * t->l_blocks_per;
            const int32_t r_block = (int32_t)r_place;
            const int32_t l_block = (int32_t)l_place;
            s->a[k] = 2.0f * (r_place - (float)r_block) - 1.0f;
            s->b[k] = 2.0f * (l_place - (float)l_block) - 1.0f;
            row[k] = (cell * t->r_blocks + r_block) * t->l_blocks + l_block;
        }
        s->x[k] = 2.0f * float_of(((bits << WALK_CELL_BITS) & 0x007fffffu) | 0x3f800000u) - 3.0f;
        any_left |= row[k] ^ s->row[k];
    }
    if (any_left) {
        load_rows(t, s, row);
    }
}

/* One explicit Euler step of N in every lane. */
INLINE void euler_wide(const rate_surface *t, wide_state *s)
{
    float change[WIDE];
    FOR_WIDE {
        const float a = s->a[k];
        const float b = s->b[k];
        const float x = s->x[k];
        const float *const c = &s->coefficient[0][k];
#define C(i) c[(i) * WIDE]
        const float l0 = (((C(0) * a + C(1)) * a + C(2)) * a + C(3)) * a + C(4);
        const float l1 = (((C(5) * a + C(6)) * a + C(7)) * a + C(8)) * a + C(9);
        const float l2 = (C(10) * a + C(11)) * a + C(12);
        const float l3 = C(13) * a + C(14);
        const float x1 = (C(15) * a + C(16)) * a + C(17) + ((C(18) * b + C(19)) + C(20) * a) * b;
        const float y = l0 + ((l3 * b + l2) * b + l1) * b + (C(21) * x + x1) * x;
#undef C
        change[k] = t->direction * exp2_of(y < -126.0f ? -126.0f : y);
    }
    FOR_WIDE {
        s->n[k] += (double)change[k];
    }
}

/* The random block of each lane's draw number after `ahead` more steps; two draws share a block. */
INLINE void draw_blocks(const walk_noise *w, wide_state *s, int64_t ahead, const int wide_vectors)
{
    for (int k = 0; k < WIDE; k++) {
        const uint64_t draw = (uint64_t)((s->step[k] + ahead) / w->cadence_steps);
        s->block[0][k] = (uint32_t)(draw >> 1);
        s->block[1][k] = (uint32_t)(draw >> 33);
        s->shift[k] = (draw & 1) != 0 ? 0 : 16;
    }
    philox_wide(s->block, s->device, s->word, w->seed, wide_vectors);
}

INLINE void draw_following_blocks(const walk_noise *w, wide_state *s, const int wide_vectors)
{
    FOR_WIDE {
        s->block[0][k] += 1u;
        s->block[1][k] += s->block[0][k] == 0u ? 1u : 0u;
    }
    philox_wide(s->block, s->device, s->word, w->seed, wide_vectors);
}

/* x <- clamp(x (1 + s u)) from a half of a random word: u = (half + 1/2) / 2^15. */
INLINE float walked(float x, float one, float scale, int32_t half, float lowest, float highest)
{
    x *= one + scale * (float)half;
    x = x < lowest ? lowest : x;
    return x > highest ? highest : x;
}

/* All lanes walk, with the upper or the lower halves of their words. */
INLINE void walk_all(const float *one, const float *scale, wide_state *s, const int upper)
{
    for (int q = 0; q < 4; q++) {
        FOR_WIDE {
            const int32_t half = (int32_t)(s->word[q][k] << (upper ? 0 : 16)) >> 16;
            s->walking[q][k] = walked(s->walking[q][k], one[q], scale[q], half, s->lowest[q][k], s->highest[q][k]);
        }
    }
}

/* The lanes walk that are due. */
INLINE void walk_due(const float *one, const float *scale, wide_state *s)
{
    for (int q = 0; q < 4; q++) {
        for (int k = 0; k < WIDE; k++) {
            if (s->is_due[k]) {
                const int32_t half = (int32_t)(s->word[q][k] << s->shift[k]) >> 16;
                s->walking[q][k] = walked(s->walking[q][k], one[q], scale[q], half, s->lowest[q][k], s->highest[q][k]);
            }
        }
    }
}

INLINE void clamp_to_window(wide_state *s)
{
    FOR_WIDE {
        const double low = (double)s->walking[LOW][k];
        const double high = (double)s->walking[HIGH][k];
        double n = s->n[k];
        n = n < low ? low : n;
        s->n[k] = n > high ? high : n;
    }
}

INLINE void load_lane(wide_state *s, int k, const walk_devices *d, int64_t i, int64_t count)
{
    s->n[k] = d->n[i];
    s->n_before[k] = d->n[i];
    for (int q = 0; q < 4; q++) {
        s->walking[q][k] = d->walking[q * count + i];
        s->lowest[q][k] = d->lowest[q * count + i];
        s->highest[q][k] = d->highest[q * count + i];
        s->moves[q][k] = d->moves != NULL ? d->moves[q * count + i] : q % 2 == 0 ? 1.0f : 0.0f;
    }
    s->step[k] = d->step[i];
    s->device[k] = d->device[i];
}

INLINE void store_lane(const wide_state *s, int k, const walk_devices *d, int64_t i, int64_t count)
{
    d->n[i] = s->n[k];
    for (int q = 0; q < 4; q++) {
        d->walking[q * count + i] = s->walking[q][k];
    }
    d->step[i] = s->step[k];
}

INLINE void walk_run_in_lanes(const rate_surface *surface, const walk_noise *noise, const walk_devices *devices,
                              int64_t count, const int64_t *n_steps, const double *n_stop, double *n_before,
                              int64_t *n_done, const int64_t *trace_offset, double *trace, const int is_plain,
                              const int wide_vectors)
{
    const rate_surface t = *surface;
    const walk_noise w = *noise;
    const double never = t.direction > 0.0f ? 1e300 : 0.0;
    const int is_watched = n_stop != NULL || trace != NULL;
    const int every_step = w.cadence_steps == 1;
    float one[4], scale[4];
    wide_state s;
    int64_t next = 0;
    int busy = 0;
    if (count <= 0) {
        return;
    }
    for (int q = 0; q < 4; q++) {
        one[q] = (float)(1.0 + w.s[q] * 0x1p-16);
        scale[q] = (float)(w.s[q] * 0x1p-15);
    }
    /* An idle lane goes on from device 0's start state and is never stored. */
    for (int k = 0; k < WIDE; k++) {
        load_lane(&s, k, devices, 0, count);
        s.row[k] = -1;
        s.owner[k] = -1;
        s.left[k] = INT64_MAX;
        s.n_stop[k] = never;
        s.is_due[k] = 0;
    }
    for (;;) {
        /* Where the walks move at every step, two draws share a block: all lanes must want the same half of theirs. */
        int64_t phase = -1;
        for (int k = 0; k < WIDE; k++) {
            phase = s.owner[k] >= 0 ? s.step[k] & 1 : phase;
        }
        int is_waiting = 0;
        for (int k = 0; k < WIDE; k++) {
            while (s.owner[k] < 0 && next < count && !is_waiting) {
                if (n_steps[next] <= 0) {
                    n_done[next] = 0;
                    n_before[next] = devices->n[next];
                    next++;
                } else if (every_step && phase >= 0 && (devices->step[next] & 1) != phase) {
                    is_waiting = 1;
                } else {
                    load_lane(&s, k, devices, next, count);
                    s.owner[k] = next;
                    s.left[k] = n_steps[next];
                    s.n_stop[k] = n_stop != NULL ? n_stop[next] : never;
                    phase = s.step[k] & 1;
                    busy++;
                    next++;
                }
            }
        }
        if (busy == 0) {
            break;
        }
        /* Steps until something has to be looked at: a lane's end, a draw of slower walks, a stop or a trace. */
        int64_t burst = is_watched || is_waiting ? 1 : INT64_MAX;
        int any_due = 0;
        for (int k = 0; k < WIDE; k++) {
            burst = s.left[k] < burst ? s.left[k] : burst;
            if (w.cadence_steps > 1 && s.owner[k] >= 0) {
                const int64_t until = w.cadence_steps - s.step[k] % w.cadence_steps;
                burst = until < burst ? until : burst;
            }
        }
        if (w.cadence_steps > 1) {
            for (int k = 0; k < WIDE; k++) {
                s.is_due[k] = (s.step[k] + burst) % w.cadence_steps == 0;
                any_due |= s.is_due[k];
            }
        }
        for (int64_t i = 1; i <= burst; i++) {
            if (i == burst) {
                memcpy(s.n_before, s.n, sizeof s.n);
            }
            place_wide(&t, &s, is_plain);
            /* Blocks are drawn here, where they give the coefficients just stored time to arrive. */
            const int is_upper = (int)((phase + i) & 1);
            const int draws = every_step || (i == burst && any_due);
            if (draws && (i == 1 || !every_step)) {
                draw_blocks(&w, &s, i, wide_vectors);
            } else if (draws && !is_upper) {
                draw_following_blocks(&w, &s, wide_vectors);
            }
            euler_wide(&t, &s);
            if (every_step && is_upper) {
                walk_all(one, scale, &s, 1);
            } else if (every_step) {
                walk_all(one, scale, &s, 0);
            } else if (draws) {
                walk_due(one, scale, &s);
            }
            clamp_to_window(&s);
        }
        for (int k = 0; k < WIDE; k++) {
            const int64_t i = s.owner[k];
            s.step[k] += burst;
            if (i < 0) {
                continue;
            }
            s.left[k] -= burst;
            if (trace != NULL) {
                trace[trace_offset[i] + n_steps[i] - s.left[k] - 1] = s.n[k];
            }
            const int is_reached = t.direction > 0.0f ? s.n[k] >= s.n_stop[k] : s.n[k] <= s.n_stop[k];
            if (is_reached || s.left[k] == 0) {
                store_lane(&s, k, devices, i, count);
                n_done[i] = n_steps[i] - s.left[k];
                n_before[i] = s.n_before[k];
                s.owner[k] = -1;
                s.left[k] = INT64_MAX;
                s.n_stop[k] = never;
                busy--;
            }
        }
    }
}

#define RUN(is_plain, wide_vectors)                                                                                    \
    walk_run_in_lanes(surface, noise, devices, count, n_steps, n_stop, n_before, n_done, trace_offset, trace,          \
                      is_plain, wide_vectors)
#define PARAMETERS                                                                                                     \
    const rate_surface *surface, const walk_noise *noise, const walk_devices *devices, int64_t count,                  \
        const int64_t *n_steps, const double *n_stop, double *n_before, int64_t *n_done, const int64_t *trace_offset,  \
        double *trace

static int is_plain(const rate_surface *surface, const walk_devices *devices)
{
    return surface->r_blocks == 1 && surface->l_blocks == 1 && devices->moves == NULL;
}

#ifdef HAS_AVX2
__attribute__((target("avx2"))) static void walk_run_avx2(PARAMETERS)
{
    if (is_plain(surface, devices)) {
        RUN(1, 1);
    } else {
        RUN(0, 1);
    }
}
#endif

void walk_run(PARAMETERS)
{
#ifdef HAS_AVX2
    if (__builtin_cpu_supports("avx2")) {
        walk_run_avx2(surface, noise, devices, count, n_steps, n_stop, n_before, n_done, trace_offset, trace);
        return;
    }
#endif
    if (is_plain(surface, devices)) {
        RUN(1, 0);
    } else {
        RUN(0, 0);
    }
}

int walk_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t blocks[2][WIDE], device[WIDE], words[2][4][WIDE];
    const uint64_t seed = (uint64_t)key[1] << 32 | key[0];
    int forms = 1;
    for (int k = 0; k < WIDE; k++) {
        blocks[0][k] = counter[0];
        blocks[1][k] = counter[1];
        device[k] = counter[2];
    }
    philox_plain(blocks, device, words[0], counter[3], seed);
#ifdef HAS_AVX2
    if (__builtin_cpu_supports("avx2")) {
        philox_avx2(blocks, device, words[1], counter[3], seed);
        forms += memcmp(words[0], words[1], sizeof words[0]) == 0;
    }
#endif
    for (int i = 0; i < 4; i++) {
        out[i] = words[0][i][WIDE - 1];
    }
    return forms;
}
