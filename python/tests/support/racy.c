/* A counter that threads share without any order, for the test that the thread sanitizer sees what happens in extensions
 * of Python. */
#include <unistd.h>

static long counter;

long count_up(long times);
long count_up(long times) {
    for (long i = 0; i < times; i++) {
        counter++;
        if (i % 1024 == 0) {
            (void)usleep(1); /* others get their turn */
        }
    }
    return counter;
}
