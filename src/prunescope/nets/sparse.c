/* Fully connected networks of which few weights are left, forward and back, one member after another.

   Examples lie innermost, [unit][batch], so a weight is multiplied with a vector of examples and no index is looked up
   between. The units below are taken in blocks, whose lines stay near the processor while all units above read them.
   Kept weights lie block by block, in a block row by row, one row for each unit above; for the way back, the same
   weights are also listed column by column, by their places. A member has room for `kept` weights; how many it has, its
   rows say.

   REAL is float or double, WIDE the bytes of a vector; the batch fills vectors. `check` looks at every index once;
   after that, every function checks its sizes. They return what is wrong, or 0. */

#include <stdint.h>

typedef REAL real;
typedef real vec __attribute__((vector_size(WIDE), aligned(sizeof(real)), may_alias));

enum { LANES = WIDE / sizeof(real), TILE = 8 };

/* One layer of all members; the first layer's `column`, `output` and `place` are never read. */
typedef struct {
    long inputs, outputs, kept, blocks;
    const int32_t *row, *input;              /* [members][blocks x outputs + 1], [members][kept] */
    const int32_t *column, *output, *place;  /* [members][inputs + 1], [members][kept], [members][kept] */
    const real *weight, *bias;               /* [members][kept], [members][outputs] */
    real *value, *change;                    /* [members][outputs][batch]: what comes out, and the derivative by it */
    real *by_weight, *by_bias;               /* as weight and bias */
} Layer;

/* What is wrong with a call, in the order of `sparse_kernels.py`'s messages. */
enum { SOUND, BAD_SIZE, BAD_BATCH, BAD_INDEX };

static const long LARGEST = 1L << 24;

static int outside(long size) { return size < 1 || size > LARGEST; }

/* Rows of all blocks of a layer. */
static long rows(const Layer *s) { return s->blocks * s->outputs; }

static int bad_sizes(const Layer *layers, long count, long members) {
    if (outside(count) || outside(members)) return 1;
    for (long l = 0; l < count; l++)
        if (outside(layers[l].inputs) || outside(layers[l].outputs) || outside(layers[l].kept) ||
            outside(layers[l].blocks) || outside(rows(layers + l)) || (l && layers[l].inputs != layers[l - 1].outputs))
            return 1;
    return 0;
}

/* Whether `lines` begin at 0, never go down and stay within the room. */
static int bad_lines(const int32_t *lines, long count, long room) {
    if (lines[0] != 0 || lines[count] > room) return 1;
    for (long i = 0; i < count; i++)
        if (lines[i + 1] < lines[i]) return 1;
    return 0;
}

static int bad_places(const int32_t *places, long count, long most) {
    for (long i = 0; i < count; i++)
        if (places[i] < 0 || places[i] >= most) return 1;
    return 0;
}

/* Look at every index of a network. */
int check(const Layer *layers, long count, long members) {
    if (bad_sizes(layers, count, members)) return BAD_SIZE;
    for (long l = 0; l < count; l++)
        for (long m = 0; m < members; m++) {
            const Layer *s = layers + l;
            const int32_t *row = s->row + m * (rows(s) + 1), *column = s->column + m * (s->inputs + 1);
            if (bad_lines(row, rows(s), s->kept)) return BAD_INDEX;
            if (bad_places(s->input + m * s->kept, row[rows(s)], s->inputs)) return BAD_INDEX;
            if (!l) continue;
            if (!s->column || !s->output || !s->place) return BAD_INDEX;
            if (bad_lines(column, s->inputs, s->kept) || column[s->inputs] != row[rows(s)]) return BAD_INDEX;
            if (bad_places(s->output + m * s->kept, column[s->inputs], s->outputs)) return BAD_INDEX;
            if (bad_places(s->place + m * s->kept, column[s->inputs], s->kept)) return BAD_INDEX;
        }
    return SOUND;
}

static inline vec at(const real *from) { return *(const vec *)from; }
static inline vec spread(const real *from) { return *from - (vec){0}; }
static inline void put(real *to, vec value) { *(vec *)to = value; }
/* What is no number is not cut off, so that a network that diverged is seen to have. */
static inline vec where_positive(vec tested, vec value) {
    __typeof__(tested > tested) below = tested <= (vec){0};
    return (vec)((__typeof__(below))value & ~below);
}

/* Sum weights times lines of `from` into some vectors of one line; `vectors` is a constant wherever it is called.
   Sums begin at one number, or go on from what is there where `begin` is NULL. What comes out counts where `tested` is above zero: itself, or a line of its own. */
static inline __attribute__((always_inline)) void sum_line(
    int vectors, const real *from, long batch, const int32_t *which, const int32_t *place, const real *weight,
    long first, long last, const real *begin, int cut, const real *tested, real *to
) {
    vec total[TILE];
    for (int j = 0; j < vectors; j++) total[j] = begin ? spread(begin) : at(to + j * LANES);
    for (long k = first; k < last; k++) {
        const real *line = from + which[k] * batch;
        real factor = weight[place ? place[k] : k];
        for (int j = 0; j < vectors; j++) total[j] += factor * at(line + j * LANES);
    }
    for (int j = 0; j < vectors; j++) {
        vec above = tested ? at(tested + j * LANES) : total[j];
        put(to + j * LANES, cut ? where_positive(above, total[j]) : total[j]);
    }
}

#define TILES(call)                                                                     \
    for (long done = 0, left = batch / LANES; left;) {                                  \
        int many = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;                   \
        long at_lane = done * LANES;                                                    \
        switch (many) {                                                                 \
            case 8: call(8); break;                                                     \
            case 4: call(4); break;                                                     \
            case 2: call(2); break;                                                     \
            default: call(1);                                                           \
        }                                                                               \
        done += many, left -= many;                                                     \
    }

static void member_forward(const Layer *s, long m, long batch, const real *x, int cut) {
    const int32_t *input = s->input + m * s->kept;
    const real *weight = s->weight + m * s->kept, *bias = s->bias + m * s->outputs;
    real *value = s->value + m * s->outputs * batch;
#define FORWARD(vectors)                                                                                              \
    for (long b = 0; b < s->blocks; b++) {                                                                            \
        const int32_t *row = s->row + m * (rows(s) + 1) + b * s->outputs;                                             \
        for (long o = 0; o < s->outputs; o++)                                                                         \
            sum_line(                                                                                                 \
                vectors, x + at_lane, batch, input, 0, weight, row[o], row[o + 1], b ? 0 : bias + o,                  \
                cut && b == s->blocks - 1, 0, value + o * batch + at_lane                                             \
            );                                                                                                        \
    }
    TILES(FORWARD)
}

/* The derivative by the units below, where these are above zero. */
static void member_back(const Layer *s, const Layer *below, long m, long batch) {
    const int32_t *column = s->column + m * (s->inputs + 1), *output = s->output + m * s->kept;
    const int32_t *place = s->place + m * s->kept;
    const real *weight = s->weight + m * s->kept, *change = s->change + m * s->outputs * batch;
    const real *value = below->value + m * s->inputs * batch;
    real *to = below->change + m * s->inputs * batch, zero = 0;
#define BACK(vectors)                                                                                         \
    for (long i = 0; i < s->inputs; i++)                                                                      \
        sum_line(vectors, change + at_lane, batch, output, place, weight, column[i], column[i + 1], &zero, 1, \
                 value + i * batch + at_lane, to + i * batch + at_lane)
    TILES(BACK)
}

/* Two vectors' neighbouring lanes added up, the first vector's sums first. */
#define BYTES_float 4
#define BYTES_double 8
#define WHOLE_float int32_t
#define WHOLE_double int64_t
#define PASTE(a, b) a##b
#define BYTES_OF(type) PASTE(BYTES_, type)
#define WHOLE_OF(type) PASTE(WHOLE_, type)
#if WIDE / BYTES_OF(REAL) == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif WIDE / BYTES_OF(REAL) == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#elif WIDE / BYTES_OF(REAL) == 4
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#else
#define EVEN 0, 2
#define ODD 1, 3
#endif
#ifdef __clang__
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef WHOLE_OF(REAL) lanes __attribute__((vector_size(WIDE)));
#define PICK(a, b, ...) __builtin_shuffle(a, b, (lanes){__VA_ARGS__})
#endif

/* Return the sum of each of LANES vectors, in their order. */
static inline vec sums_of(vec *several) {
    for (int count = LANES; count > 1; count /= 2)
        for (int i = 0; i < count / 2; i++) {
            vec a = several[2 * i], b = several[2 * i + 1];
            several[i] = PICK(a, b, EVEN) + PICK(a, b, ODD);
        }
    return several[0];
}

/* Add to `to` the sums of vectors that were collected, `count` of them. */
static inline void add_sums(vec *several, long count, real *to) {
    for (long i = count; i < LANES; i++) several[i] = (vec){0};
    vec sums = sums_of(several);
    if (count == LANES) put(to, at(to) + sums);
    else for (long i = 0; i < count; i++) to[i] += sums[i];
}

/* Products for the gradient of the kept weights. They come in the order of the weights, so a vector's worth of sums
   is collected across rows. */
static inline __attribute__((always_inline)) void correlate(
    int vectors, const real *x, const real *change, long batch, const int32_t *row, const int32_t *input, long blocks,
    long outputs, real *by_weight
) {
    vec waiting[LANES];
    long count = 0;
    for (long line = 0; line < blocks * outputs; line++, row++) {
        if (row[0] == row[1]) continue;
        const real *above = change + line % outputs * batch;
        vec own[TILE];
        for (int j = 0; j < vectors; j++) own[j] = at(above + j * LANES);
        for (long k = row[0]; k < row[1]; k++) {
            const real *below = x + input[k] * batch;
            vec total = own[0] * at(below);
            for (int j = 1; j < vectors; j++) total += own[j] * at(below + j * LANES);
            waiting[count++] = total;
            if (count == LANES) {
                add_sums(waiting, LANES, by_weight + k + 1 - LANES);
                count = 0;
            }
        }
    }
    if (count) add_sums(waiting, count, by_weight + *row - count);
}

static void member_gradient(const Layer *s, long m, long batch, const real *x) {
    const int32_t *row = s->row + m * (rows(s) + 1), *input = s->input + m * s->kept;
    const real *change = s->change + m * s->outputs * batch;
    real *by_weight = s->by_weight + m * s->kept, *by_bias = s->by_bias + m * s->outputs;
    for (long k = 0; k < s->kept; k++) by_weight[k] = 0;
    for (long o = 0; o < s->outputs; o++) {
        vec total = {0};
        for (long i = 0; i < batch; i += LANES) total += at(change + o * batch + i);
        by_bias[o] = 0;
        for (int lane = 0; lane < LANES; lane++) by_bias[o] += total[lane];
    }
#define CORRELATE(vectors) \
    correlate(vectors, x + at_lane, change + at_lane, batch, row, input, s->blocks, s->outputs, by_weight)
    TILES(CORRELATE)
}

static int bad_batch(long batch) { return outside(batch) || batch % LANES; }

/* Compute the values of all layers for the members from `first` to before `last`; the last layer's are not cut off.
   x is [members][inputs][batch]. */
int forward(
    const Layer *layers, long count, long members, long first, long last, long batch, const real *x
) {
    if (bad_sizes(layers, count, members) || first < 0 || last > members) return BAD_SIZE;
    if (bad_batch(batch)) return BAD_BATCH;
    for (long m = first; m < last; m++)
        for (long l = 0; l < count; l++) {
            const real *from = l ? layers[l - 1].value + m * layers[l].inputs * batch : x + m * layers[0].inputs * batch;
            member_forward(layers + l, m, batch, from, l < count - 1);
        }
    return SOUND;
}

/* From the last layer's change, compute the gradients of all kept weights and biases. */
int backward(
    const Layer *layers, long count, long members, long first, long last, long batch, const real *x
) {
    if (bad_sizes(layers, count, members) || first < 0 || last > members) return BAD_SIZE;
    if (bad_batch(batch)) return BAD_BATCH;
    for (long m = first; m < last; m++)
        for (long l = count - 1; l >= 0; l--) {
            const real *from = l ? layers[l - 1].value + m * layers[l].inputs * batch : x + m * layers[0].inputs * batch;
            member_gradient(layers + l, m, batch, from);
            if (l) member_back(layers + l, layers + l - 1, m, batch);
        }
    return SOUND;
}

/* Lay chosen columns of chosen rows of bytes out with the rows innermost, each value byte x scale + shift of its
   column; places that only fill a vector get zeros. */
int lay_out(
    long count, long features, const uint8_t *bytes, long members, long rows, const int64_t *places, long wide,
    const int32_t *columns, const real *scale, const real *shift, long batch, real *x
) {
    if (outside(count) || outside(features) || outside(members) || outside(rows) || outside(wide)) return BAD_SIZE;
    if (bad_batch(batch) || rows > batch || batch - rows >= LANES) return BAD_BATCH;
    for (long i = 0; i < members * rows; i++)
        if (places[i] < 0 || places[i] >= count) return BAD_INDEX;
    if (bad_places(columns, members * wide, features)) return BAD_INDEX;
    enum { AT_ONCE = LANES < 16 ? 16 : LANES };
    for (long m = 0; m < members; m++)
        for (long first = 0; first < rows; first += AT_ONCE) {
            const uint8_t *from[AT_ONCE];
            long some = rows - first < AT_ONCE ? rows - first : AT_ONCE;
            long whole = batch - first < AT_ONCE ? batch - first : AT_ONCE;
            for (long i = 0; i < AT_ONCE; i++)
                from[i] = bytes + places[m * rows + first + (i < some ? i : 0)] * features;
            for (long j = 0; j < wide; j++) {
                long c = columns[m * wide + j];
                real *to = x + (m * wide + j) * batch + first, values[AT_ONCE];
                for (long i = 0; i < AT_ONCE; i++) values[i] = from[i][c] * scale[c] + shift[c];
                if (some == AT_ONCE) for (long i = 0; i < AT_ONCE; i++) to[i] = values[i];
                else for (long i = 0; i < whole; i++) to[i] = i < some ? values[i] : 0;
            }
        }
    return SOUND;
}
