/* Calls the functions of sparse.c with random networks, in memory of just the size that each needs, so that a sanitizer
   sees every step outside. What comes out is compared with plain loops; what is refused is never computed. */

#include <math.h>
#include <stdio.h>

#include "sparse.c"
#include "chance.h"

static int32_t *places(long count) { return calloc(count, sizeof(int32_t)); }

static void fail(const char *what) {
    printf("%s\n", what);
    exit(1);
}

static void near(double wanted, double got, const char *what) {
    if (!(fabs(wanted - got) < 1e-3 * (1 + fabs(wanted)))) fail(what);
}

/* A layer with random weights of some density, listed by rows and columns; `dense` holds them as a matrix. */
static Layer layer(long members, long inputs, long outputs, long batch, real **dense) {
    long percent = below(101), most = 1;
    char *there = malloc(members * outputs * inputs);
    for (long m = 0; m < members; m++) {
        long count = 0;
        for (long i = 0; i < outputs * inputs; i++) count += there[m * outputs * inputs + i] = below(100) < percent;
        if (count > most) most = count;
    }
    long wide = 1 + below(inputs), blocks = (inputs + wide - 1) / wide;
    int32_t *row = places(members * (blocks * outputs + 1)), *input = places(members * most);
    int32_t *column = places(members * (inputs + 1)), *output = places(members * most), *place = places(members * most);
    real *weight = numbers(members * most);
    *dense = calloc(members * outputs * inputs, sizeof(real));
    for (long m = 0; m < members; m++) {
        int32_t *r = row + m * (blocks * outputs + 1), *c = column + m * (inputs + 1), *number = places(outputs * inputs);
        const char *own = there + m * outputs * inputs;
        long k = 0;
        for (long line = 0; line < blocks * outputs; line++) {
            long o = line % outputs, first = line / outputs * wide;
            for (long i = first; i < first + wide && i < inputs; i++) {
                if (!own[o * inputs + i]) continue;
                input[m * most + k] = i;
                (*dense)[(m * outputs + o) * inputs + i] = weight[m * most + k];
                number[o * inputs + i] = k++;
            }
            r[line + 1] = k;
        }
        k = 0;
        for (long i = 0; i < inputs; i++) {
            for (long o = 0; o < outputs; o++) {
                if (!own[o * inputs + i]) continue;
                output[m * most + k] = o;
                place[m * most + k++] = number[o * inputs + i];
            }
            c[i + 1] = k;
        }
        free(number);
    }
    free(there);
    long units = members * outputs;
    Layer made = {inputs, outputs, most, blocks, row, input, column, output, place, weight, numbers(units),
                  numbers(units * batch), numbers(units * batch), numbers(members * most), numbers(units)};
    return made;
}

static void discard(Layer *s) {
    const void *all[] = {s->row, s->input, s->column, s->output, s->place, s->weight, s->bias, s->value, s->change,
                         s->by_weight, s->by_bias};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) free((void *)all[i]);
}

static void compare(const Layer *layers, real **dense, long count, long members, long batch, const real *x) {
    for (long l = 0; l < count; l++) {
        const Layer *s = layers + l;
        for (long m = 0; m < members; m++)
            for (long o = 0; o < s->outputs; o++) {
                const real *w = dense[l] + (m * s->outputs + o) * s->inputs, *in = l ? s[-1].value : x;
                const real *change = s->change + (m * s->outputs + o) * batch;
                double bias = 0;
                for (long b = 0; b < batch; b++) {
                    double sum = s->bias[m * s->outputs + o];
                    for (long i = 0; i < s->inputs; i++) sum += (double)w[i] * in[(m * s->inputs + i) * batch + b];
                    if (l < count - 1 && sum < 0) sum = 0;
                    near(sum, s->value[(m * s->outputs + o) * batch + b], "wrong value");
                    bias += change[b];
                }
                near(bias, s->by_bias[m * s->outputs + o], "wrong derivative by a bias");
                for (long block = 0; block < s->blocks; block++) {
                    const int32_t *row = s->row + m * (rows(s) + 1) + block * s->outputs;
                    for (long k = row[o]; k < row[o + 1]; k++) {
                        double sum = 0;
                        const real *line = in + (m * s->inputs + s->input[m * s->kept + k]) * batch;
                        for (long b = 0; b < batch; b++) sum += (double)change[b] * line[b];
                        near(sum, s->by_weight[m * s->kept + k], "wrong derivative by a weight");
                    }
                }
            }
        for (long m = 0; l && m < members; m++)
            for (long i = 0; i < s->inputs; i++)
                for (long b = 0; b < batch; b++) {
                    double sum = 0;
                    long at_unit = (m * s->inputs + i) * batch + b;
                    for (long o = 0; o < s->outputs; o++)
                        sum += (double)dense[l][(m * s->outputs + o) * s->inputs + i] *
                               s->change[(m * s->outputs + o) * batch + b];
                    if (!(s[-1].value[at_unit] > 0)) sum = 0;
                    near(sum, s[-1].change[at_unit], "wrong derivative by a unit");
                }
    }
}

/* Change an index, a line or a size of a network that is sound, so that it must be refused. */
static void spoil(Layer *layers, long count, long members, long batch, const real *x) {
    Layer *s = layers + below(count);
    long member = below(members);
    long lines = rows(s);
    int32_t *row = (int32_t *)s->row + member * (lines + 1);
    switch (below(6)) {
        case 0: row[0] = 1; break;
        case 1: row[lines] = s->kept + 1; break;
        case 2: row[below(lines) + 1] = -1; break;
        case 3:
            if (!row[lines]) return;
            ((int32_t *)s->input)[member * s->kept + below(row[lines])] = below(2) ? -1 : s->inputs;
            break;
        case 4:
            if (s == layers || !row[lines]) return;
            ((int32_t *)(below(2) ? s->place : s->output))[member * s->kept + below(row[lines])] =
                below(2) ? -1 : (s->kept > s->outputs ? s->kept : s->outputs);
            break;
        default:
            *(below(2) ? (below(2) ? &s->kept : &s->blocks) : s == layers ? &s->inputs : &s->outputs) = below(2) ? 0 : LARGEST + 1;
            if (!forward(layers, count, members, 0, members, batch, x)) fail("forward took a wrong size");
            if (!backward(layers, count, members, 0, members, batch, x)) fail("backward took a wrong size");
    }
    if (!check(layers, count, members)) fail("what is wrong was taken");
}

static void laid_out(void) {
    long count = 1 + below(9), features = 1 + below(40), members = 1 + below(3), rows = 1 + below(70);
    long batch = (rows + LANES - 1) / LANES * LANES, wide = 1 + below(features);
    uint8_t *bytes = malloc(count * features);
    int64_t *which = malloc(members * rows * sizeof(int64_t));
    int32_t *columns = places(members * wide);
    for (long i = 0; i < count * features; i++) bytes[i] = below(256);
    for (long i = 0; i < members * rows; i++) which[i] = below(count);
    for (long i = 0; i < members * wide; i++) columns[i] = below(features);
    real *scale = numbers(features), *shift = numbers(features), *x = numbers(members * wide * batch);
    if (lay_out(count, features, bytes, members, rows, which, wide, columns, scale, shift, batch, x)) fail("refused");
    for (long m = 0; m < members; m++)
        for (long j = 0; j < wide; j++)
            for (long b = 0; b < batch; b++) {
                long c = columns[m * wide + j];
                double wanted = b < rows ? bytes[which[m * rows + b] * features + c] * scale[c] + shift[c] : 0;
                near(wanted, x[(m * wide + j) * batch + b], "laid out wrongly");
            }
    long sizes[] = {count, features, members, rows, wide, batch};
    switch (below(3)) {
        case 0: sizes[below(6)] = below(2) ? 0 : -below(1L << 30) - 1; break;
        case 1: sizes[5] += below(2) ? 1 : LANES; break;
        default:
            if (below(2)) which[below(members * rows)] = below(2) ? -1 : count;
            else columns[below(members * wide)] = below(2) ? -1 : features;
    }
    if (LANES > 1 &&
        !lay_out(sizes[0], sizes[1], bytes, sizes[2], sizes[3], which, sizes[4], columns, scale, shift, sizes[5], x))
        fail("what cannot be laid out was taken");
    void *all[] = {bytes, which, columns, scale, shift, x};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

int main(int arguments, char **words) {
    long rounds = arguments > 2 ? atol(words[1]) : 0;
    state = arguments > 2 ? strtoull(words[2], NULL, 10) : 0;
    for (long round = 0; round < rounds; round++) {
        enum { MOST = 4 };
        long members = 1 + below(3), count = 1 + below(MOST), batch = LANES * (1 + below(20)), size = 1 + below(40);
        Layer layers[MOST];
        real *dense[MOST], *x = numbers(members * size * batch);
        for (long l = 0; l < count; l++) {
            long inputs = l ? layers[l - 1].outputs : size;
            layers[l] = layer(members, inputs, 1 + below(40), batch, dense + l);
        }
        if (check(layers, count, members)) fail("refused");
        long middle = below(members + 1);
        for (long part = 0; part < 2; part++) {
            long first = part ? middle : 0, last = part ? members : middle;
            if (forward(layers, count, members, first, last, batch, x)) fail("forward refused");
            if (backward(layers, count, members, first, last, batch, x)) fail("backward refused");
        }
        compare(layers, dense, count, members, batch, x);
        if (!forward(layers, count, members, 0, members + 1, batch, x)) fail("took a member too many");
        if (!backward(layers, count, members, -1, members, batch, x)) fail("took a member before the first");
        if (!forward(layers, count, members, 0, members, batch + 1, x)) fail("took a batch that fills no vectors");
        spoil(layers, count, members, batch, x);
        for (long l = 0; l < count; l++) discard(layers + l), free(dense[l]);
        free(x);
        laid_out();
    }
    printf("%ld\n", rounds);
    return 0;
}
