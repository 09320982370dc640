/* The hit ratio rows come from a program of their own: they measure decisions, not time. */
#include "bench.h"

BENCH_FAMILY(hitratio) {
    if (!bench_is_counting(b)) {
        bench_rows_of_program(b, "hitratio/hitratio");
    }
}
