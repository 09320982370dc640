/* Points in time: never beyond the end, and waits by the clock that nobody sets. */
#include "base/clock.h"

#include "support/fake_clock.h"
#include "support/test.h"

#include <errno.h>

CKIT_TEST(clock, a_life_that_goes_beyond_the_end_of_time_has_no_end) {
    CHECK_EQ_U(1500, ckiti_time_after(1000, 500));
    CHECK_EQ_U(UINT64_MAX, ckiti_time_after(1000, UINT64_MAX - 999));
    CHECK_EQ_U(UINT64_MAX - 1, ckiti_time_after(1000, UINT64_MAX - 1001));
    CHECK_EQ_U(UINT64_MAX, ckiti_time_after(0, CKIT_LIFE_NO_EXPIRY));
}

CKIT_TEST(clock, what_is_left_until_a_deadline_is_never_less_than_nothing) {
    CHECK_EQ_U(500, ckiti_time_left(1000, 1500));
    CHECK_EQ_U(0, ckiti_time_left(1500, 1500));
    CHECK_EQ_U(0, ckiti_time_left(1501, 1500));
    CHECK_EQ_U(UINT64_MAX, ckiti_time_left(1500, CKIT_NO_DEADLINE));
}

CKIT_TEST(clock, the_instance_s_own_is_asked_where_there_is_one) {
    fake_clock time;
    fake_clock_init(&time);
    fake_clock_advance(&time, 7);
    CHECK_EQ_U(FAKE_CLOCK_START_MS + 7, ckiti_now_ms(&time.clock));
    CHECK_EQ_I(FAKE_CLOCK_WALL_MS + 7, ckiti_wall_ms(&time.clock));
    CHECK(ckiti_wall_ms(NULL) != FAKE_CLOCK_WALL_MS + 7);
}

CKIT_TEST(clock, a_point_in_real_time_has_less_than_a_second_of_nanoseconds) {
    static const uint64_t spans[] = {0, 1, 999, 1000, 1999, 86400000};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        uint64_t        before = ckiti_exact_monotonic_ms();
        struct timespec until = ckiti_real_time_in(spans[i]);
        uint64_t        at = (uint64_t)until.tv_sec * 1000 + (uint64_t)until.tv_nsec / 1000000;
        CHECK(until.tv_nsec >= 0 && until.tv_nsec < 1000000000L);
        CHECK_BETWEEN_U(before + spans[i], ckiti_exact_monotonic_ms() + spans[i], at);
    }
}

/* By the wall clock such a point would have passed decades ago, and the wait would end before its time. */
CKIT_TEST(clock, a_condition_that_nobody_signals_is_waited_for_until_the_point) {
    pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t  cond;
    ckiti_cond_init(&cond);
    struct timespec until = ckiti_real_time_in(2);
    int             code = 0;
    pthread_mutex_lock(&mu);
    while (code == 0) {
        code = pthread_cond_timedwait(&cond, &mu, &until);
    }
    pthread_mutex_unlock(&mu);
    CHECK_EQ_I(ETIMEDOUT, code);
    CHECK(ckiti_exact_monotonic_ms() >= (uint64_t)until.tv_sec * 1000 + (uint64_t)until.tv_nsec / 1000000);
    pthread_cond_destroy(&cond);
}
