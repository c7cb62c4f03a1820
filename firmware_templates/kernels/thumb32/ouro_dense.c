#include "ouro_dense.h"

#include "ouro_fixed.h"

#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__)

/* What the architectures do differently. r2: an activation; r3 .. r6: weights of four rows, whose accumulators are r8
 * .. r11 in the columns and r4 .. r7 after them. */
#if defined(__ARM_ARCH_6M__)
#define LOAD_SIGNED(at) "ldrh r2, " at "\n\tsxth r2, r2\n\t"
#define MULTIPLY_ADD(acc, weight) "muls " weight ", r2\n\tadd " acc ", " weight "\n\t"
#define ZERO_IF_NEGATIVE(acc) "asrs r3, " acc ", #31\n\tbics " acc ", r3\n\t"
#define NOT_ABOVE(acc, highest) "cmp " acc ", " highest "\n\tble 9f\n\tmov " acc ", " highest "\n\t9:\n\t"
#define NOT_BELOW(acc, lowest) "cmp " acc ", " lowest "\n\tbge 9f\n\tmov " acc ", " lowest "\n\t9:\n\t"
#define RELU(acc) ZERO_IF_NEGATIVE(acc) NOT_ABOVE(acc, "lr")
#define SIGNED(acc) NOT_ABOVE(acc, "lr") "mov r3, lr\n\tmvns r3, r3\n\t" NOT_BELOW(acc, "r3")
#else
#define LOAD_SIGNED(at) "ldrsh r2, " at "\n\t"
#define MULTIPLY_ADD(acc, weight) "mla " acc ", " weight ", r2, " acc "\n\t"
#define RELU(acc) "usat " acc ", #15, " acc "\n\t"
#define SIGNED(acc) "ssat " acc ", #16, " acc "\n\t"
#endif
#define LOAD_POSITIVE(at) "ldrh r2, " at "\n\t"

/* A column of four rows. r0: stream, r1: activations; `load` takes one. */
#define COLUMN(load, x_offset)                                                                                         \
    load("[r1, #" #x_offset "]") "ldmia r0!, {r3, r4, r5, r6}\n\t" MULTIPLY_ADD("r8", "r3") MULTIPLY_ADD("r9", "r4")   \
        MULTIPLY_ADD("r10", "r5") MULTIPLY_ADD("r11", "r6")

/* Two columns a turn where inputs may be negative, eight where they are not. */
#define SIGNED_COLUMNS                                                                                                 \
    COLUMN(LOAD_SIGNED, 0)                                                                                             \
    COLUMN(LOAD_SIGNED, 2)                                                                                             \
    "adds r1, #4\n\t"
#define POSITIVE_COLUMNS                                                                                               \
    COLUMN(LOAD_POSITIVE, 0)                                                                                           \
    COLUMN(LOAD_POSITIVE, 2)                                                                                           \
    COLUMN(LOAD_POSITIVE, 4)                                                                                           \
    COLUMN(LOAD_POSITIVE, 6)                                                                                           \
    COLUMN(LOAD_POSITIVE, 8)                                                                                           \
    COLUMN(LOAD_POSITIVE, 10)                                                                                          \
    COLUMN(LOAD_POSITIVE, 12)                                                                                          \
    COLUMN(LOAD_POSITIVE, 14)                                                                                          \
    "adds r1, #16\n\t"

/* r7: end of x in the columns, r12: y, lr: INT16_MAX, sp: x, sp + 4: x_end, sp + 44: y_end. A shift by register takes
 * its lowest byte. */
#define FORM(columns, limit)                                                                                           \
    ".syntax unified\n\t"                                                                                              \
    "push {r4, r5, r6, r7, lr}\n\t"                                                                                    \
    "mov r4, r8\n\t"                                                                                                   \
    "mov r5, r9\n\t"                                                                                                   \
    "mov r6, r10\n\t"                                                                                                  \
    "mov r7, r11\n\t"                                                                                                  \
    "push {r4, r5, r6, r7}\n\t"                                                                                        \
    "push {r1, r2}\n\t"                                                                                                \
    "mov r12, r3\n\t"                                                                                                  \
    "movs r4, #1\n\t"                                                                                                  \
    "lsls r4, #15\n\t"                                                                                                 \
    "subs r4, #1\n\t"                                                                                                  \
    "mov lr, r4\n\t"                                                                                                   \
    "1:\n\t"                                                                                                           \
    "ldmia r0!, {r3, r4, r5, r6}\n\t"                                                                                  \
    "mov r8, r3\n\t"                                                                                                   \
    "mov r9, r4\n\t"                                                                                                   \
    "mov r10, r5\n\t"                                                                                                  \
    "mov r11, r6\n\t"                                                                                                  \
    "ldr r1, [sp]\n\t"                                                                                                 \
    "ldr r7, [sp, #4]\n\t"                                                                                             \
    "2:\n\t" columns "cmp r1, r7\n\t"                                                                                  \
    "bne 2b\n\t"                                                                                                       \
    "ldmia r0!, {r3}\n\t"                                                                                              \
    "mov r4, r8\n\t"                                                                                                   \
    "asrs r4, r3\n\t"                                                                                                  \
    "lsrs r3, #8\n\t"                                                                                                  \
    "mov r5, r9\n\t"                                                                                                   \
    "asrs r5, r3\n\t"                                                                                                  \
    "lsrs r3, #8\n\t"                                                                                                  \
    "mov r6, r10\n\t"                                                                                                  \
    "asrs r6, r3\n\t"                                                                                                  \
    "lsrs r3, #8\n\t"                                                                                                  \
    "mov r7, r11\n\t"                                                                                                  \
    "asrs r7, r3\n\t" limit("r4") limit("r5") limit("r6")                                                              \
        limit("r7") "mov r3, r12\n\t"                                                                                  \
                    "strh r4, [r3, #0]\n\t"                                                                            \
                    "strh r5, [r3, #2]\n\t"                                                                            \
                    "strh r6, [r3, #4]\n\t"                                                                            \
                    "strh r7, [r3, #6]\n\t"                                                                            \
                    "adds r3, #8\n\t"                                                                                  \
                    "mov r12, r3\n\t"                                                                                  \
                    "ldr r4, [sp, #44]\n\t"                                                                            \
                    "cmp r3, r4\n\t"                                                                                   \
                    "beq 4f\n\t"                                                                                       \
                    "b 1b\n\t" /* further than a conditional branch reaches on ARMv6-M */                              \
                    "4:\n\t"                                                                                           \
                    "add sp, #8\n\t"                                                                                   \
                    "pop {r4, r5, r6, r7}\n\t"                                                                         \
                    "mov r8, r4\n\t"                                                                                   \
                    "mov r9, r5\n\t"                                                                                   \
                    "mov r10, r6\n\t"                                                                                  \
                    "mov r11, r7\n\t"                                                                                  \
                    "pop {r4, r5, r6, r7, pc}\n\t"

#define UNUSED __attribute__((unused)) /* by C: the instructions use it */
#define DEFINE_FORM(name, columns, limit)                                                                              \
    __attribute__((naked)) void name(UNUSED const uint32_t *stream, UNUSED const int16_t *x,                           \
                                     UNUSED const int16_t *x_end, UNUSED int16_t *y, UNUSED const int16_t *y_end)      \
    {                                                                                                                  \
        __asm__ volatile(FORM(columns, limit));                                                                        \
    }

DEFINE_FORM(ouro_dense_w32_relu_to_relu, POSITIVE_COLUMNS, RELU)
DEFINE_FORM(ouro_dense_w32_relu_to_signed, POSITIVE_COLUMNS, SIGNED)
DEFINE_FORM(ouro_dense_w32_signed_to_relu, SIGNED_COLUMNS, RELU)
DEFINE_FORM(ouro_dense_w32_signed_to_signed, SIGNED_COLUMNS, SIGNED)

#else

static int32_t as_signed(uint32_t word)
{
    return (word <= (uint32_t)INT32_MAX) ? (int32_t)word : (-(int32_t)(UINT32_MAX - word) - 1);
}

static void rows_in_c(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end,
                      int32_t lowest)
{
    for (; y < y_end; y += 4) {
        int32_t acc[4];

        for (uint32_t k = 0U; k < 4U; k++) {
            acc[k] = as_signed(*stream++);
        }
        for (const int16_t *at = x; at < x_end; at++) {
            for (uint32_t k = 0U; k < 4U; k++) {
                acc[k] += as_signed(*stream++) * *at;
            }
        }
        for (uint32_t k = 0U; k < 4U; k++) {
            y[k] = ouro_sat16(acc[k] >> ((*stream >> (8U * k)) & 0xFFU), lowest);
        }
        stream++;
    }
}

#define DEFINE_FORM(name, lowest)                                                                                      \
    void name(const uint32_t *stream, const int16_t *x, const int16_t *x_end, int16_t *y, const int16_t *y_end)        \
    {                                                                                                                  \
        rows_in_c(stream, x, x_end, y, y_end, lowest);                                                                 \
    }

DEFINE_FORM(ouro_dense_w32_relu_to_relu, 0)
DEFINE_FORM(ouro_dense_w32_relu_to_signed, INT16_MIN)
DEFINE_FORM(ouro_dense_w32_signed_to_relu, 0)
DEFINE_FORM(ouro_dense_w32_signed_to_signed, INT16_MIN)

#endif

void ouro_dense(const ouro_layer_t *layer, const int16_t *x, int16_t *y)
{
    layer->form(layer->stream, x, &x[layer->columns], y, &y[layer->rows]);
    for (uint32_t r = layer->rows; (r % OURO_DENSE_PADDING) != 0U; r++) {
        y[r] = 0;
    }
}

int32_t ouro_dense_output(const ouro_layer_t *layer, const int16_t *x)
{
    const uint32_t *stream = layer->stream;
    const int16_t *const end = &x[layer->columns];
    int32_t acc = (int32_t)*stream++;

    for (; x < end; x += 2) {
        const uint32_t pair = *stream++;

        acc += (int16_t)(uint16_t)pair * (int32_t)x[0];
        acc += (int16_t)(uint16_t)(pair >> 16U) * (int32_t)x[1];
    }
    return acc;
}
