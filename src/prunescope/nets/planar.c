/* Convolution, batch normalisation, residual and ReLU of R members at once, forward and back, one picture at a time.

   Pictures lie as [B][C][H][W][R], members innermost: a vector holds all members of some neighbouring pixels, so its
   lanes are full however few channels a network has, and no product is wasted between members. The way back never
   writes the derivative by a convolution's output to memory: it is made picture by picture, while the picture's part
   is near the processor, and used at once for both products. `planar.py` says what the numbers mean and checks them.

   REAL is float or double, WIDE the bytes of a vector. R divides a vector's lanes; rows of R x width fill vectors.
   Every function checks this itself and returns what is wrong, or 0. */

#include <string.h>

typedef REAL real;
typedef real vec __attribute__((vector_size(WIDE), aligned(sizeof(real)), may_alias));

enum { LANES = WIDE / sizeof(real), BLOCK = 4, MOST_TAPS = 9, ROWS_AT_ONCE = 128 };

typedef struct {
    long batch, channels, out, height, width, kernel, stride, members;
} Shape;

typedef struct {
    long count, weight[MOST_TAPS], offset[MOST_TAPS];
} Taps;

/* What is wrong with a call, in the order of `kernels.py`'s messages. */
enum { SOUND, BAD_SIZE, BAD_KERNEL, BAD_STRIDE, BAD_MEMBERS, BAD_LINE };

/* Whether a convolution is one that these functions compute. With sizes of at most LARGEST and tensors that exist, no
   count overflows; that tensors are as large as they must be is checked where they are known, in `kernels.py`. */
int check(const Shape *s) {
    const long LARGEST = 1L << 24;
    const long sizes[] = {s->batch, s->channels, s->out, s->height, s->width, s->members};
    for (int i = 0; i < 6; i++)
        if (sizes[i] < 1 || sizes[i] > LARGEST) return BAD_SIZE;
    if (s->kernel != 1 && s->kernel != 3) return BAD_KERNEL;
    if ((s->stride != 1 && s->stride != 2) || s->height % s->stride || s->width % s->stride) return BAD_STRIDE;
    if (LANES % s->members) return BAD_MEMBERS;
    return s->width / s->stride * s->members % LANES ? BAD_LINE : SOUND;
}

/* The same for planes of numbers. */
static int check_planes(long batch, long planes, long size) {
    if (batch < 1 || planes < 1 || size < 1) return BAD_SIZE;
    return size % LANES ? BAD_LINE : SOUND;
}

static inline vec at(const real *from) { return *(const vec *)from; }
static inline vec spread(const real *from) { return *from - (vec){0}; }
static inline void put(real *to, vec value) { *(vec *)to = value; }
/* What is no number is not cut off, so that a network that diverged is seen to have. */
static inline vec where_positive(vec tested, vec value) {
    __typeof__(tested > tested) below = tested <= (vec){0};
    return (vec)((__typeof__(below))value & ~below);
}

/* Copy pixels, each a number of members, from every so-manieth place to every so-manieth. */
static inline __attribute__((always_inline)) void step_by(
    long pixels, int members, const real *from, int every, real *to, int each
) {
    for (long i = 0; i < pixels; i++)
        for (int r = 0; r < members; r++) to[i * each * members + r] = from[i * every * members + r];
}

/* Copy pixels between a line and every second place of another. */
static void second(long pixels, long members, const real *from, int every, real *to, int each) {
    switch (members * 4 + every * 2 + each) {
        case 4 + 5: step_by(pixels, 1, from, 2, to, 1); break;
        case 8 + 5: step_by(pixels, 2, from, 2, to, 1); break;
        case 16 + 5: step_by(pixels, 4, from, 2, to, 1); break;
        case 4 + 4: step_by(pixels, 1, from, 1, to, 2); break;
        case 8 + 4: step_by(pixels, 2, from, 1, to, 2); break;
        case 16 + 4: step_by(pixels, 4, from, 1, to, 2); break;
        default: step_by(pixels, members, from, every, to, each);
    }
}

/* A picture with zeros around it, split by the parity of rows and columns where the stride is 2:
   [channels][stride][stride][rows][columns x members], so that a tap is one offset for all pixels. */
typedef struct {
    long rows, row, phase, plane;
} Padded;

static Padded padded(const Shape *s) {
    long around = s->kernel - 1;
    Padded p;
    p.rows = (s->height + around + s->stride - 1) / s->stride;
    p.row = (s->width + around + s->stride - 1) / s->stride * s->members;
    p.phase = p.rows * p.row;
    p.plane = p.phase * s->stride * s->stride;
    return p;
}

static void pad(const Shape *s, const Padded *p, const real *x, real *to) {
    long before = s->kernel / 2, line = s->width * s->members;
    for (long c = 0; c < s->channels; c++)
        for (long y = 0; y < s->height; y++) {
            const real *from = x + (c * s->height + y) * line;
            long down = y + before;
            real *row = to + c * p->plane + down % s->stride * s->stride * p->phase + down / s->stride * p->row;
            if (s->stride == 1) {
                memcpy(row + before * s->members, from, line * sizeof(real));
                continue;
            }
            for (long first = 0; first < 2; first++) {
                long right = first + before;
                real *pixel = row + right % 2 * p->phase + right / 2 * s->members;
                second(s->width / 2, s->members, from + first * s->members, 2, pixel, 1);
            }
        }
}

static Taps taps_of(const Shape *s, const Padded *p) {
    Taps t = {s->kernel * s->kernel, {0}, {0}};
    for (long k = 0; k < t.count; k++) {
        long down = k / s->kernel, right = k % s->kernel;
        t.weight[k] = k;
        t.offset[k] = (down % s->stride * s->stride + right % s->stride) * p->phase + down / s->stride * p->row +
                      right / s->stride * s->members;
    }
    return t;
}

/* Lanes of a packed weight: one member's is the same for all and spread when it is read. */
static inline long lanes_of(const Shape *s) { return s->members == 1 ? 1 : LANES; }

/* Weights [R][out][channels][taps] to [sums / BLOCK][terms][taps][BLOCK][lanes]; forward sums are outputs and terms
   channels, on the way back the reverse. A sum too many has zeros. */
static void pack(const Shape *s, const real *weight, int back, real *to) {
    long taps = s->kernel * s->kernel;
    long sums = back ? s->channels : s->out, terms = back ? s->out : s->channels;
    long blocks = (sums + BLOCK - 1) / BLOCK;
    for (long block = 0; block < blocks; block++)
        for (long term = 0; term < terms; term++)
            for (long k = 0; k < taps; k++)
                for (long i = 0; i < BLOCK; i++)
                    for (long lane = 0; lane < lanes_of(s); lane++, to++) {
                        long sum = block * BLOCK + i, out = back ? term : sum, channel = back ? sum : term;
                        long of = ((lane % s->members * s->out + out) * s->channels + channel) * taps + k;
                        *to = sum < sums ? weight[of] : 0;
                    }
}

/* Some vectors of some sums; `sums`, `pixels` and `lanes` are constants wherever it is called. */
static inline __attribute__((always_inline)) void tile(
    int sums, int pixels, int lanes, const real *const *from, long terms, long plane, const Taps *t, long all_taps,
    const real *weight, real *to, long apart
) {
    vec total[BLOCK][3];
    for (int i = 0; i < sums; i++)
        for (int j = 0; j < pixels; j++) total[i][j] = (vec){0};
    for (long term = 0; term < terms; term++) {
        const real *own = weight + term * all_taps * BLOCK * lanes;
        for (long k = 0; k < t->count; k++) {
            long offset = term * plane + t->offset[k];
            const real *w = own + t->weight[k] * BLOCK * lanes;
            vec value[3];
            for (int j = 0; j < pixels; j++) value[j] = at(from[j] + offset);
            for (int i = 0; i < sums; i++) {
                vec factor = lanes == 1 ? spread(w + i) : at(w + i * LANES);
                for (int j = 0; j < pixels; j++) total[i][j] += factor * value[j];
            }
        }
    }
    for (int i = 0; i < sums; i++)
        for (int j = 0; j < pixels; j++) put(to + i * apart + j * LANES, total[i][j]);
}

static inline __attribute__((always_inline)) void tiles(
    int sums, int lanes, const real *in, long terms, long plane, long row, const Taps *t, long all_taps,
    const real *weight, long rows, long line, real *to, long apart
) {
    long vectors = rows * line, column = 0;
    for (long v = 0; v < vectors;) {
        const real *from[3];
        long left = vectors - v;
        int count = left == 3 || left > 4 ? 3 : left >= 2 ? 2 : 1;
        for (int j = 0; j < count; j++) {
            from[j] = in + column * LANES;
            if (++column == line) column = 0, in += row;
        }
        if (count == 3) tile(sums, 3, lanes, from, terms, plane, t, all_taps, weight, to + v * LANES, apart);
        else if (count == 2) tile(sums, 2, lanes, from, terms, plane, t, all_taps, weight, to + v * LANES, apart);
        else tile(sums, 1, lanes, from, terms, plane, t, all_taps, weight, to + v * LANES, apart);
        v += count;
    }
}

#define TILES(sums)                                                                                      \
    if (lanes == 1) tiles(sums, 1, in, terms, plane, row, t, all_taps, w, rows, line, o, apart);          \
    else tiles(sums, LANES, in, terms, plane, row, t, all_taps, w, rows, line, o, apart);                 \
    break;

/* Sum terms of a padded picture into `rows` lines of `line` vectors for each of `sums` planes. */
static void convolve(
    const real *in, long terms, long plane, long row, const Taps *t, long all_taps, const real *weight, long lanes,
    long sums, long rows, long line, real *out, long apart
) {
    for (long first = 0; first < sums; first += BLOCK) {
        const real *w = weight + first * terms * all_taps * lanes;
        real *o = out + first * apart;
        switch (sums - first) {
            case 1: TILES(1)
            case 2: TILES(2)
            case 3: TILES(3)
            default: TILES(BLOCK)
        }
    }
}

/* What `forward` and `backward` need of scratch memory, counted in numbers; 0 for a shape that they refuse. */
long room(const Shape *s) {
    if (check(s)) return 0;
    Padded p = padded(s);
    long blocks = (s->out > s->channels ? s->out : s->channels) / BLOCK + 1;
    long most = s->out > s->channels ? s->out : s->channels;
    long line = s->width / s->stride * s->members, around = 2 * (s->kernel - 1) * s->members;
    long change = (s->height / s->stride + 2 * (s->kernel - 1)) * (line + around);
    return p.plane * s->channels + 2 * change * s->out + change * s->channels +
           blocks * BLOCK * most * s->kernel * s->kernel * LANES;
}

/* Convolve; add to `moments` [out][3][lanes] each picture's mean, its square, and the squares around it. */
int forward(const Shape *s, const real *x, const real *weight, real *y, double *moments, real *scratch) {
    int wrong = check(s);
    if (wrong) return wrong;
    Padded p = padded(s);
    Taps t = taps_of(s, &p);
    long high = s->height / s->stride, line = s->width / s->stride * s->members / LANES;
    long size = high * line * LANES, picture = s->channels * s->height * s->width * s->members;
    real *packed = scratch + p.plane * s->channels;
    memset(scratch, 0, p.plane * s->channels * sizeof(real));
    pack(s, weight, 0, packed);
    for (long b = 0; b < s->batch; b++) {
        real *own = y + b * s->out * size;
        pad(s, &p, x + b * picture, scratch);
        convolve(
            scratch, s->channels, p.plane, p.row, &t, t.count, packed, lanes_of(s), s->out, high, line, own, size
        );
        for (long o = 0; moments && o < s->out; o++) {
            const real *values = own + o * size;
            double *found = moments + o * 3 * LANES;
            vec mean = {0}, squares = {0};
            for (long i = 0; i < size; i += LANES) mean += at(values + i);
            mean /= (real)(size / LANES);
            for (long i = 0; i < size; i += LANES) {
                vec away = at(values + i) - mean;
                squares += away * away;
            }
            for (long lane = 0; lane < LANES; lane++) {
                found[lane] += mean[lane];
                found[LANES + lane] += (double)mean[lane] * mean[lane];
                found[2 * LANES + lane] += squares[lane];
            }
        }
    }
    return SOUND;
}

/* y = scale (x - mean) + shift, plus what goes past (or NULL), cut off below zero or not.
   `line` is [planes of a picture][3][lanes]: mean, scale, shift. */
int normalise(
    long batch, long planes, long size, const real *x, const real *past, const real *line, long cut, real *y
) {
    int wrong = check_planes(batch, planes, size);
    if (wrong) return wrong;
    for (long b = 0; b < batch; b++)
        for (long c = 0; c < planes; c++) {
            const real *own = line + c * 3 * LANES;
            vec mean = at(own), scale = at(own + LANES), shift = at(own + 2 * LANES);
            long first = (b * planes + c) * size;
            for (long i = first; i < first + size; i += LANES) {
                vec value = scale * (at(x + i) - mean) + shift;
                if (past) value += at(past + i);
                put(y + i, cut ? where_positive(value, value) : value);
            }
        }
    return SOUND;
}

/* The derivative by what was normalised, before the normalisation: `change` where `y` is above zero (all where y is
   NULL), kept in `passed` unless that is NULL; `sums` [planes][2][lanes] of it, alone and times (x - mean). */
int reduce(
    long batch, long planes, long size, const real *change, const real *y, const real *x, const real *line,
    real *passed, double *sums
) {
    int wrong = check_planes(batch, planes, size);
    if (wrong) return wrong;
    for (long b = 0; b < batch; b++)
        for (long c = 0; c < planes; c++) {
            vec mean = at(line + c * 3 * LANES), alone = {0}, times = {0};
            long first = (b * planes + c) * size;
            for (long i = first; i < first + size; i += LANES) {
                vec value = at(change + i);
                if (y) value = where_positive(at(y + i), value);
                if (passed) put(passed + i, value);
                alone += value;
                times += value * (at(x + i) - mean);
            }
            for (long lane = 0; lane < LANES; lane++) {
                sums[c * 2 * LANES + lane] += alone[lane];
                sums[(c * 2 + 1) * LANES + lane] += times[lane];
            }
        }
    return SOUND;
}

/* Products of one picture for the derivative by the weights, `total` [out][channels][taps][lanes]; `sums` outputs and
   `taps` of a row at a time, constants wherever it is called. */
static inline __attribute__((always_inline)) void correlate(
    int sums, int taps, const real *in, long row, const long *offset, const real *change, long apart, long rows,
    long line, real *total, long next
) {
    vec found[BLOCK][3];
    for (int i = 0; i < sums; i++)
        for (int k = 0; k < taps; k++) found[i][k] = (vec){0};
    for (long y = 0; y < rows; y++)
        for (long v = 0; v < line; v++) {
            vec value[3];
            for (int k = 0; k < taps; k++) value[k] = at(in + y * row + v * LANES + offset[k]);
            for (int i = 0; i < sums; i++) {
                vec factor = at(change + i * apart + (y * line + v) * LANES);
                for (int k = 0; k < taps; k++) found[i][k] += factor * value[k];
            }
        }
    for (int i = 0; i < sums; i++)
        for (int k = 0; k < taps; k++) put(total + i * next + k * LANES, at(total + i * next + k * LANES) + found[i][k]);
}

#define CORRELATE(sums)                                                                                     \
    if (s->kernel == 3) correlate(sums, 3, from, p->row, t->offset + k, own, size, rows, line, to, next);     \
    else correlate(sums, 1, from, p->row, t->offset + k, own, size, rows, line, to, next);                    \
    break;

static void by_weights(const Shape *s, const Padded *p, const Taps *t, const real *in, const real *change, real *total) {
    long high = s->height / s->stride, line = s->width / s->stride * s->members / LANES, size = high * line * LANES;
    long next = s->channels * t->count * LANES, most = ROWS_AT_ONCE / line > 0 ? ROWS_AT_ONCE / line : 1;
    for (long y = 0; y < high; y += most) {
        long rows = high - y < most ? high - y : most;
        for (long o = 0; o < s->out; o += BLOCK)
            for (long c = 0; c < s->channels; c++)
                for (long k = 0; k < t->count; k += s->kernel) {
                    const real *from = in + c * p->plane + y * p->row, *own = change + o * size + y * line * LANES;
                    real *to = total + o * next + (c * t->count + k) * LANES;
                    switch (s->out - o) {
                        case 1: CORRELATE(1)
                        case 2: CORRELATE(2)
                        case 3: CORRELATE(3)
                        default: CORRELATE(BLOCK)
                    }
                }
    }
}

/* The derivative by a picture, phase by phase of the padded picture: a pixel at stride x i + a meets the taps of a's
   parity, each an offset into the padded change. */
static void by_pictures(const Shape *s, const real *in, long row, long plane, const real *packed, real *half, real *dx) {
    long high = s->height / s->stride, line = s->width / s->stride * s->members / LANES, size = high * line * LANES;
    long before = s->kernel / 2, reach = (s->kernel - 1) / s->stride, full = s->height * s->width * s->members;
    for (long y = 0; y < s->stride; y++)
        for (long x = 0; x < s->stride; x++) {
            long down = (y + before) % s->stride, right = (x + before) % s->stride;
            Taps t = {0, {0}, {0}};
            for (long k = 0; k < s->kernel * s->kernel; k++) {
                long kd = k / s->kernel, kr = k % s->kernel;
                if (kd % s->stride != down || kr % s->stride != right) continue;
                long i = (y + before - kd + reach * s->stride) / s->stride;
                long j = (x + before - kr + reach * s->stride) / s->stride;
                t.weight[t.count] = k;
                t.offset[t.count++] = i * row + j * s->members;
            }
            convolve(
                in, s->out, plane, row, &t, s->kernel * s->kernel, packed, lanes_of(s), s->channels, high, line,
                s->stride == 1 ? dx : half, size
            );
            if (s->stride == 1) return;
            for (long c = 0; c < s->channels; c++)
                for (long i = 0; i < high; i++)
                    second(
                        s->width / 2, s->members, half + c * size + i * s->width / 2 * s->members, 1,
                        dx + c * full + ((2 * i + y) * s->width + x) * s->members, 2
                    );
        }
}

/* Back through normalisation and convolution. The derivative by the convolution's output is
   scale change + slope (before - mean) + level, `line` [out][4][lanes]: mean, scale, slope, level; `change` counts where
   `y` is above zero. `dx` may be NULL. `total` [out][channels][taps][lanes] is added to. */
int backward(
    const Shape *s, const real *x, const real *weight, const real *change, const real *y, const real *before,
    const real *line, real *dx, real *total, real *scratch
) {
    int wrong = check(s);
    if (wrong) return wrong;
    Padded p = padded(s);
    Taps t = taps_of(s, &p);
    long high = s->height / s->stride, wide = s->width / s->stride * s->members, size = high * wide;
    long picture = s->channels * s->height * s->width * s->members;
    long reach = (s->kernel - 1) / s->stride, row = wide + 2 * reach * s->members, plane = (high + 2 * reach) * row;
    real *own = scratch + p.plane * s->channels, *around = own + size * s->out, *packed = around + plane * s->out;
    real *half = packed + (s->channels + BLOCK - 1) / BLOCK * BLOCK * s->out * t.count * LANES;
    memset(scratch, 0, p.plane * s->channels * sizeof(real));
    memset(around, 0, plane * s->out * sizeof(real));
    if (dx) pack(s, weight, 1, packed);
    for (long b = 0; b < s->batch; b++) {
        for (long o = 0; o < s->out; o++) {
            const real *l = line + o * 4 * LANES;
            vec mean = at(l), scale = at(l + LANES), slope = at(l + 2 * LANES), level = at(l + 3 * LANES);
            long first = (b * s->out + o) * size;
            for (long i = 0; i < size; i += LANES) {
                vec value = at(change + first + i);
                if (y) value = where_positive(at(y + first + i), value);
                put(own + o * size + i, scale * value + slope * (at(before + first + i) - mean) + level);
            }
            for (long i = 0; dx && i < high; i++)
                memcpy(
                    around + o * plane + (i + reach) * row + reach * s->members, own + o * size + i * wide,
                    wide * sizeof(real)
                );
        }
        pad(s, &p, x + b * picture, scratch);
        by_weights(s, &p, &t, scratch, own, total);
        if (dx) by_pictures(s, around, row, plane, packed, half, dx + b * picture);
    }
    return SOUND;
}
