#include "bench/zipf.h"

#include <string.h>

/* ---- logarithm and exponential ---------------------------------------------------------------------------------
 *
 * Those of libm would make the tool load one more shared library, each time it starts, whatever it is asked to do.
 * Beside that, draws are the same on every machine this way. Good to 1e-13. Doubles are those of IEEE 754. */

#define LN2_HIGH 0x1.62e42fefa38p-1 /* the product with an exponent of eleven bits is exact */
#define LN2_LOW 0x1.ef35793c7673p-45
#define HALF_ROOT 0x1.6a09e667f3bcdp-1 /* sqrt(1/2) */

/* 2 atanh(s) / s for the s of numbers between sqrt(1/2) and sqrt(2), which are (number - 1) / (number + 1). */
static double atanh_over(double s) {
    static const double terms[] = {2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3, 2.0};
    double              square = s * s, sum = 0;
    for (unsigned i = 0; i < sizeof terms / sizeof *terms; i++) {
        sum = sum * square + terms[i];
    }
    return sum;
}

#define EXPONENT_SHIFT 52
#define EXPONENT_BIAS 1022 /* of numbers from 0.5 on */
#define EXPONENT_MASK (UINT64_C(0x7ff) << EXPONENT_SHIFT)

/* For 0, the logarithm of the smallest double there is. */
static double natural_log(double x) {
    uint64_t bits;
    double   m; /* x = m 2^exponent, 0.5 <= m < 1 */
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> EXPONENT_SHIFT) - EXPONENT_BIAS;
    bits = (bits & ~EXPONENT_MASK) | (uint64_t)EXPONENT_BIAS << EXPONENT_SHIFT;
    memcpy(&m, &bits, sizeof m);
    if (m < HALF_ROOT) {
        m *= 2;
        exponent--;
    }
    double s = (m - 1) / (m + 1);
    return exponent * LN2_HIGH + (exponent * LN2_LOW + s * atanh_over(s));
}

/* log1p(x) / x, also where x is nearly 0. */
static double log1p_over(double x) {
    return x > -0.29 && x < 0.41 ? atanh_over(x / (2 + x)) / (2 + x) : natural_log(1 + x) / x;
}

/* expm1(x) / x for |x| <= 0.5. */
static double expm1_over_small(double x) {
    static const double terms[] = {
        1 / 6227020800.0, 1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0, 1 / 362880.0, 1 / 40320.0, 1 / 5040.0,
        1 / 720.0,        1 / 120.0,       1 / 24.0,       1 / 6.0,       1 / 2.0,      1.0};
    double sum = 0;
    for (unsigned i = 0; i < sizeof terms / sizeof *terms; i++) {
        sum = sum * x + terms[i];
    }
    return sum;
}

static double exponential(double x) {
    if (!(x > -708)) {
        return 0;
    }
    x = x < 709 ? x : 709;                                              /* more than any number of items */
    int      k = (int)(x * 0x1.71547652b82fep0 + (x < 0 ? -0.5 : 0.5)); /* by 1 / ln 2 */
    double   rest = (x - k * LN2_HIGH) - k * LN2_LOW;
    uint64_t bits = (uint64_t)(k + EXPONENT_BIAS + 1) << EXPONENT_SHIFT;
    double   power;
    memcpy(&power, &bits, sizeof power);
    return (1 + rest * expm1_over_small(rest)) * power;
}

static double expm1_over(double x) { return x > -0.5 && x < 0.5 ? expm1_over_small(x) : (exponential(x) - 1) / x; }

/* ---- the law --------------------------------------------------------------------------------------------------- */

static double height(const cli_zipf *z, double x) { return exponential(-z->skew * natural_log(x)); }

/* The integral of `height` from 1 to x, and its inverse. One formula serves skews below, at and above 1, since the two
 * quotients are smooth at 0. */
static double area(const cli_zipf *z, double x) {
    double log_x = natural_log(x);
    return expm1_over((1 - z->skew) * log_x) * log_x;
}

static double place(const cli_zipf *z, double a) {
    double t = a * (1 - z->skew);
    return exponential(log1p_over(t < -1 ? -1 : t) * a); /* rounding may push it below -1 */
}

void cli_zipf_init(cli_zipf *z, uint64_t items, double skew) {
    *z = (cli_zipf){.items = (double)items, .skew = skew};
    z->from = area(z, 1.5) - 1;
    z->to = area(z, z->items + 0.5);
    z->sure = 2 - place(z, area(z, 2.5) - height(z, 2));
}

uint64_t cli_zipf_next(const cli_zipf *z, uint64_t *state) {
    for (;;) {
        double unit = (double)(cli_random(state) >> 11) * 0x1p-53;
        if (z->skew == 0) {
            return (uint64_t)(unit * z->items); /* below `items`: unit is at most 1 - 2^-53 */
        }
        double a = z->to + unit * (z->from - z->to);
        double x = place(z, a) + 0.5;
        double item = !(x >= 1) ? 1 : x > z->items ? z->items : (double)(uint64_t)x;
        if (item - (x - 0.5) <= z->sure || a >= area(z, item + 0.5) - height(z, item)) {
            return (uint64_t)item - 1;
        }
    }
}
