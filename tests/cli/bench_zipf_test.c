#include "bench/zipf.h"
#include "support/test.h"

#include <math.h>

#define DRAWS 200000u
#define ITEMS 50u

/* Pearson's statistic of DRAWS draws against the law; its mean is ITEMS - 1 and its deviation about 10. */
static double disagreement(double skew, uint64_t seed) {
    uint32_t counts[ITEMS] = {0};
    double   sum = 0, statistic = 0;
    cli_zipf law;
    cli_zipf_init(&law, ITEMS, skew);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t item = cli_zipf_next(&law, &seed);
        CHECK_BETWEEN_U(0, ITEMS - 1, item);
        counts[item]++;
    }
    for (unsigned i = 0; i < ITEMS; i++) {
        sum += pow(i + 1.0, -skew);
    }
    for (unsigned i = 0; i < ITEMS; i++) {
        double expected = DRAWS * pow(i + 1.0, -skew) / sum;
        statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return statistic;
}

CKIT_TEST(zipf, items_come_as_often_as_the_law_says_below_at_and_above_a_skew_of_one) {
    const double skews[] = {0, 0.01, 0.5, 0.99, 1 - 1e-9, 1, 1 + 1e-9, 1.01, 1.2, 2};
    for (unsigned i = 0; i < sizeof skews / sizeof *skews; i++) {
        double statistic = disagreement(skews[i], 11);
        CHECKF(statistic < 100, "skew %g: %g", skews[i], statistic);
    }
}

CKIT_TEST(zipf, every_draw_is_an_item_also_at_the_limits) {
    const double   skews[] = {0, 1e-12, 0.5, 1, 3, 50, CLI_ZIPF_SKEW_MAX};
    const uint64_t items[] = {1, 2, 100000000, CLI_ZIPF_ITEMS_MAX};
    for (unsigned i = 0; i < sizeof skews / sizeof *skews; i++) {
        for (unsigned j = 0; j < sizeof items / sizeof *items; j++) {
            uint64_t state = i + j;
            cli_zipf law;
            cli_zipf_init(&law, items[j], skews[i]);
            for (unsigned n = 0; n < 2000; n++) {
                CHECK_BETWEEN_U(0, items[j] - 1, cli_zipf_next(&law, &state));
            }
        }
    }
}

CKIT_TEST(zipf, the_tail_of_a_hundred_million_is_reached) {
    uint64_t state = 1, last = 0;
    cli_zipf law;
    cli_zipf_init(&law, 100000000, 0.99);
    for (unsigned n = 0; n < 20000; n++) {
        uint64_t item = cli_zipf_next(&law, &state);
        last = item > last ? item : last;
    }
    CHECK_BETWEEN_U(99000000, 99999999, last);
}

CKIT_TEST(zipf, the_same_seed_gives_the_same_items) {
    uint64_t one = 5, other = 5;
    cli_zipf law;
    cli_zipf_init(&law, 1000, 0.99);
    for (unsigned n = 0; n < 1000; n++) {
        CHECK_EQ_U(cli_zipf_next(&law, &one), cli_zipf_next(&law, &other));
    }
}
