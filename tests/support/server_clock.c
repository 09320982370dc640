/* Loaded into a server under test (LD_PRELOAD): its wall clock is what the file named by CKIT_SERVER_CLOCK_FILE says,
 * in microseconds, or the machine's while that is 0. Its monotonic clock stays what it is, so its timers run. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shown;

__attribute__((constructor)) static void map_clock(void) {
    const char *path = getenv("CKIT_SERVER_CLOCK_FILE");
    int         fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        void *mapped = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
        shown = mapped == MAP_FAILED ? NULL : mapped;
        close(fd);
    }
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec real;
    int64_t         us = shown == NULL ? 0 : *shown;
    (void)zone;
    if (us == 0) {
        clock_gettime(CLOCK_REALTIME, &real);
        us = (int64_t)real.tv_sec * 1000000 + real.tv_nsec / 1000;
    }
    now->tv_sec = (time_t)(us / 1000000);
    now->tv_usec = (suseconds_t)(us % 1000000);
    return 0;
}
