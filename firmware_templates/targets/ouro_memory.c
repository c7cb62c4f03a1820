/* The two functions that compilers call by themselves, for targets without a C library. */
#include <stddef.h>

void *memset(void *to, int value, size_t count);
void *memcpy(void *restrict to, const void *restrict from, size_t count);

/* volatile keeps compilers from turning the loops into calls of these very functions. */
void *memset(void *to, int value, size_t count)
{
    volatile unsigned char *byte = to;

    for (size_t i = 0U; i < count; i++) {
        byte[i] = (unsigned char)value;
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    volatile unsigned char *byte = to;
    const unsigned char *source = from;

    for (size_t i = 0U; i < count; i++) {
        byte[i] = source[i];
    }
    return to;
}
