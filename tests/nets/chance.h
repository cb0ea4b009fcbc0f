/* Numbers by chance, the same on every machine, for the programs that a sanitizer watches; after `real` is a type. */

#include <stdint.h>
#include <stdlib.h>

static uint64_t state;

static long below(long most) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (long)((state >> 33) % (uint64_t)most);
}

static real *numbers(long count) {
    real *made = malloc(count * sizeof(real));
    for (long i = 0; i < count; i++) made[i] = (real)(below(2001) - 1000) / 500;
    return made;
}
