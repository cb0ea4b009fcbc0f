/* Calls the functions of planar.c with random shapes, in memory of just the size that each needs, so that a sanitizer
   sees every step outside. Convolutions are compared with plain loops; shapes that are refused get no memory at all. */

#include <math.h>
#include <stdio.h>

#include "planar.c"
#include "chance.h"

static double *zeros(long count) { return calloc(count, sizeof(double)); }

static void fail(const char *what, const Shape *s) {
    printf("%s: batch %ld channels %ld out %ld height %ld width %ld kernel %ld stride %ld members %ld\n", what, s->batch,
           s->channels, s->out, s->height, s->width, s->kernel, s->stride, s->members);
    exit(1);
}

static double plain(const Shape *s, const real *x, const real *weight, long b, long o, long i, long j, long r) {
    double sum = 0;
    for (long c = 0; c < s->channels; c++)
        for (long k = 0; k < s->kernel * s->kernel; k++) {
            long y = i * s->stride + k / s->kernel - s->kernel / 2, z = j * s->stride + k % s->kernel - s->kernel / 2;
            if (y < 0 || y >= s->height || z < 0 || z >= s->width) continue;
            sum += (double)x[(((b * s->channels + c) * s->height + y) * s->width + z) * s->members + r] *
                   weight[((r * s->out + o) * s->channels + c) * s->kernel * s->kernel + k];
        }
    return sum;
}

static void compare(const Shape *s, const real *x, const real *weight, const real *y) {
    for (long b = 0; b < s->batch; b++)
        for (long o = 0; o < s->out; o++)
            for (long i = 0; i < s->height / s->stride; i++)
                for (long j = 0; j < s->width / s->stride; j++)
                    for (long r = 0; r < s->members; r++, y++)
                        if (!(fabs(plain(s, x, weight, b, o, i, j, r) - *y) < 1e-3)) fail("wrong sum", s);
}

static void sound(const Shape *s) {
    long size = s->height / s->stride * (s->width / s->stride) * s->members, taps = s->kernel * s->kernel;
    long before = s->batch * s->channels * s->height * s->width * s->members, after = s->batch * s->out * size;
    real *x = numbers(before), *weight = numbers(s->members * s->out * s->channels * taps), *y = numbers(after);
    real *line = numbers(s->out * 3 * LANES), *past = below(2) ? numbers(after) : NULL, *end = numbers(after);
    real *back = numbers(s->out * 4 * LANES), *dx = below(2) ? numbers(before) : NULL, *scratch = numbers(room(s));
    real *total = numbers(s->out * s->channels * taps * LANES), *change = numbers(after);
    real *passed = below(2) ? numbers(after) : NULL, *cut = below(2) ? end : NULL;
    double *moments = below(2) ? zeros(s->out * 3 * LANES) : NULL, *sums = zeros(s->out * 2 * LANES);
    int wrong = forward(s, x, weight, y, moments, scratch);
    compare(s, x, weight, y);
    wrong |= normalise(s->batch, s->out, size, y, past, line, cut != NULL, end);
    wrong |= reduce(s->batch, s->out, size, change, cut, y, line, passed, sums);
    wrong |= backward(s, x, weight, change, cut, y, back, dx, total, scratch);
    if (wrong) fail("refused", s);
    void *all[] = {x, weight, y, line, past, end, back, dx, scratch, total, change, passed, moments, sums};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void refused(const Shape *s) {
    long size = s->members;
    if (room(s)) fail("room for what is refused", s);
    if (!forward(s, NULL, NULL, NULL, NULL, NULL)) fail("forward took", s);
    if (!backward(s, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)) fail("backward took", s);
    if (size % LANES == 0) return;
    if (!normalise(1, 1, size, NULL, NULL, NULL, 0, NULL)) fail("normalise took", s);
    if (!reduce(1, 1, size, NULL, NULL, NULL, NULL, NULL, NULL)) fail("reduce took", s);
}

int main(int count, char **arguments) {
    long rounds = count > 2 ? atol(arguments[1]) : 0, taken = 0;
    state = count > 2 ? strtoull(arguments[2], NULL, 10) : 0;
    for (long round = 0; round < rounds; round++) {
        long members = 1L << below(9), stride = 1 + below(2);
        if (members > LANES) members = LANES;
        long width = stride * (LANES / members) * (1 + below(3));
        Shape s = {1 + below(3), 1 + below(6), 1 + below(9), stride * (1 + below(5)), width, 1 + 2 * below(2), stride,
                   members};
        long *fields[] = {&s.batch, &s.channels, &s.out, &s.height, &s.width, &s.kernel, &s.stride, &s.members};
        if (below(2)) *fields[below(8)] = below(4) ? below(24) - 2 : (long)(state >> 1) - (1L << 62);
        if (check(&s)) refused(&s);
        else if (s.batch < 64 && s.channels < 64 && s.out < 64 && s.height < 64 && s.width < 64) sound(&s), taken++;
    }
    printf("%ld of %ld\n", taken, rounds);
    return 0;
}
