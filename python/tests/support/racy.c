/* A counter that threads share without any order, for the test that the thread sanitizer sees what happens in extensions
 * of Python. */
#include <stdatomic.h>
#include <unistd.h>

static long       counter;
static atomic_int inside;

/* Counts once `together` threads have come in. How they meet puts nothing in order. */
long count_up(long together);
long count_up(long together) {
    (void)atomic_fetch_add_explicit(&inside, 1, memory_order_relaxed);
    while (atomic_load_explicit(&inside, memory_order_relaxed) < together) {
        (void)usleep(1000);
    }
    for (int i = 0; i < 1000; i++) {
        counter++;
    }
    return counter;
}
