#include "bench/histogram.h"
#include "support/test.h"

#include <stdlib.h>

static cli_histogram *new_histogram(void) {
    cli_histogram *histogram = calloc(1, sizeof *histogram);
    CHECK(histogram != NULL);
    return histogram;
}

CKIT_TEST(histogram, a_time_is_told_to_within_one_percent) {
    for (uint64_t ns = 1; ns < UINT64_C(1) << 41; ns += ns / 7 + 1) {
        cli_histogram *h = new_histogram();
        cli_histogram_add(h, ns);
        cli_histogram_add(h, UINT64_C(1) << 41); /* so that the first is not the longest */
        uint64_t told = cli_histogram_at(h, 0.5);
        uint64_t off = told > ns ? told - ns : ns - told;
        CHECKF(off * 100 <= ns, "%llu ns are told as %llu", (unsigned long long)ns, (unsigned long long)told);
        free(h);
    }
}

CKIT_TEST(histogram, percentiles_of_the_numbers_up_to_a_thousand) {
    cli_histogram *h = new_histogram();
    for (uint64_t ns = 1; ns <= 1000; ns++) {
        cli_histogram_add(h, ns);
    }
    CHECK_EQ_U(1, cli_histogram_at(h, 0));
    CHECK_EQ_U(100, cli_histogram_at(h, 0.1));
    CHECK_BETWEEN_U(495, 505, cli_histogram_at(h, 0.5));
    CHECK_BETWEEN_U(981, 999, cli_histogram_at(h, 0.99));
    CHECK_EQ_U(1000, cli_histogram_at(h, 1));
    CHECK_EQ_U(500500, h->sum_ns);
    free(h);
}

CKIT_TEST(histogram, nothing_and_the_longest_time_are_counted_too) {
    cli_histogram *h = new_histogram();
    CHECK_EQ_U(0, cli_histogram_at(h, 0.5));
    cli_histogram_add(h, 0);
    CHECK_EQ_U(0, cli_histogram_at(h, 1));
    cli_histogram_add(h, UINT64_MAX);
    CHECK_EQ_U(UINT64_MAX, h->max_ns);
    CHECK_EQ_U(2, h->count);
    free(h);
}

CKIT_TEST(histogram, merging_is_adding_up) {
    cli_histogram *one = new_histogram(), *other = new_histogram(), *both = new_histogram();
    for (uint64_t ns = 1; ns < 100000; ns += 37) {
        cli_histogram_add(ns % 2 == 0 ? one : other, ns);
        cli_histogram_add(both, ns);
    }
    cli_histogram_merge(one, other);
    CHECK_EQ_U(0, (unsigned)memcmp(one, both, sizeof *one));
    free(one);
    free(other);
    free(both);
}
