/* Layers whose weights have 8 bits. */
#define WEIGHT_BYTES "1"
#define LOAD_WEIGHT "ldrb"
#define OFFSET_LOG2 "7"
#define WORDS_OF_FOUR 1
#define weight_at(stream, k) ((int32_t)((*(stream) >> (8U * (k))) & 0xFFU) - 0x80)
#include "ouro_dense_rows.h"

DEFINE_FORMS(w8)
