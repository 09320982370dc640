#include "observe/counters.h"

#include "support/test.h"
#include <pthread.h>

static void *count_many(void *counters) {
    for (int i = 0; i < 10000; i++) {
        ckiti_count(counters, 3, 2);
    }
    return NULL;
}

CKIT_TEST(counters, the_sum_is_exact_when_many_threads_counted) {
    static ckiti_counters counters;
    pthread_t             threads[8];
    for (int i = 0; i < 8; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, count_many, &counters));
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQ_U(8u * 10000u * 2u, ckiti_counted(&counters, 3));
    CHECK_EQ_U(0, ckiti_counted(&counters, 2));
}
