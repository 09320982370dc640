#include "bench_zipf.h"

#include <math.h>

/* log1p(x) / x and expm1(x) / x, also where x is (nearly) 0: so one formula serves skews below, at and above 1. */
static double log1p_over(double x) { return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2; }
static double expm1_over(double x) { return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2; }

static double height(const cli_zipf *z, double x) { return exp(-z->skew * log(x)); }

/* The integral of `height` from 1 to x, and its inverse. */
static double area(const cli_zipf *z, double x) {
    double log_x = log(x);
    return expm1_over((1 - z->skew) * log_x) * log_x;
}

static double place(const cli_zipf *z, double a) {
    double t = a * (1 - z->skew);
    return exp(log1p_over(t < -1 ? -1 : t) * a); /* rounding may push it below -1 */
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
        double x = place(z, a);
        double item = floor(x + 0.5);
        item = item < 1 ? 1 : item > z->items ? z->items : item;
        if (item - x <= z->sure || a >= area(z, item + 0.5) - height(z, item)) {
            return (uint64_t)item - 1;
        }
    }
}
