/* Philox4x32-7 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), one block a lane: the fewest
 * rounds that pass all of BigCrush. */
#ifndef PHILOX_H
#define PHILOX_H

#include <stdint.h>

#include "lane_math.h"

#ifdef HAS_AVX2
#include <immintrin.h>
#endif

#define PHILOX_ROUNDS 7
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#define PURPOSE_WALK 0u /* sim/counter_rng.py */

/* Counters: block number (two words), device, purpose. */
static void philox_plain(uint32_t (*block)[WIDE], const uint32_t *device, uint32_t (*words)[WIDE], uint32_t purpose,
                         uint64_t seed)
{
    for (int k = 0; k < WIDE; k++) {
        uint32_t w0 = block[0][k];
        uint32_t w1 = block[1][k];
        uint32_t w2 = device[k];
        uint32_t w3 = purpose;
        uint32_t key0 = (uint32_t)seed;
        uint32_t key1 = (uint32_t)(seed >> 32);
        for (int round = 0; round < PHILOX_ROUNDS; round++) {
            const uint64_t product0 = (uint64_t)w0 * PHILOX_M0;
            const uint64_t product1 = (uint64_t)w2 * PHILOX_M1;
            w0 = (uint32_t)(product1 >> 32) ^ w1 ^ key0;
            w1 = (uint32_t)product1;
            w2 = (uint32_t)(product0 >> 32) ^ w3 ^ key1;
            w3 = (uint32_t)product0;
            key0 += PHILOX_W0;
            key1 += PHILOX_W1;
        }
        words[0][k] = w0;
        words[1][k] = w1;
        words[2][k] = w2;
        words[3][k] = w3;
    }
}

#ifdef HAS_AVX2
/* Compilers do not find the vector product of 32-bit numbers to 64 bits in the plain form. Here four lanes' words lie
 * in the low halves of 64-bit elements; what is in the high halves never matters to the product. */
typedef struct {
    __m256i w[4];
} philox_quad;

__attribute__((target("avx2"), always_inline)) static inline void philox_round(philox_quad *q, __m256i key0,
                                                                               __m256i key1)
{
    const __m256i product0 = _mm256_mul_epu32(q->w[0], _mm256_set1_epi64x(PHILOX_M0));
    const __m256i product1 = _mm256_mul_epu32(q->w[2], _mm256_set1_epi64x(PHILOX_M1));
    q->w[0] = _mm256_xor_si256(_mm256_srli_epi64(product1, 32), _mm256_xor_si256(q->w[1], key0));
    q->w[1] = product1;
    q->w[2] = _mm256_xor_si256(_mm256_srli_epi64(product0, 32), _mm256_xor_si256(q->w[3], key1));
    q->w[3] = product0;
}

__attribute__((target("avx2"))) static void philox_avx2(uint32_t (*block)[WIDE], const uint32_t *device,
                                                        uint32_t (*words)[WIDE], uint32_t purpose, uint64_t seed)
{
    for (int k = 0; k < WIDE; k += 8) {
        const __m256i w0 = _mm256_loadu_si256((const __m256i *)&block[0][k]);
        const __m256i w1 = _mm256_loadu_si256((const __m256i *)&block[1][k]);
        const __m256i w2 = _mm256_loadu_si256((const __m256i *)&device[k]);
        const __m256i w3 = _mm256_set1_epi64x(purpose);
        philox_quad even = {{w0, w1, w2, w3}};
        philox_quad odd = {{_mm256_srli_epi64(w0, 32), _mm256_srli_epi64(w1, 32), _mm256_srli_epi64(w2, 32), w3}};
        uint32_t key0 = (uint32_t)seed;
        uint32_t key1 = (uint32_t)(seed >> 32);
        for (int round = 0; round < PHILOX_ROUNDS; round++) {
            const __m256i k0 = _mm256_set1_epi64x(key0);
            const __m256i k1 = _mm256_set1_epi64x(key1);
            philox_round(&even, k0, k1);
            philox_round(&odd, k0, k1);
            key0 += PHILOX_W0;
            key1 += PHILOX_W1;
        }
        for (int i = 0; i < 4; i++) {
            const __m256i both = _mm256_blend_epi32(even.w[i], _mm256_slli_epi64(odd.w[i], 32), 0xAA);
            _mm256_storeu_si256((__m256i *)&words[i][k], both);
        }
    }
}
#endif

INLINE void philox_wide(uint32_t (*block)[WIDE], const uint32_t *device, uint32_t (*words)[WIDE], uint64_t seed,
                        const int wide_vectors)
{
#ifdef HAS_AVX2
    if (wide_vectors) {
        philox_avx2(block, device, words, PURPOSE_WALK, seed);
        return;
    }
#else
    (void)wide_vectors;
#endif
    philox_plain(block, device, words, PURPOSE_WALK, seed);
}

#endif
