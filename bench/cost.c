/* What a work costs besides time: system calls, and asking for memory. */
#include "bench.h"

#include <dirent.h>
#include <dlfcn.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- system calls ------------------------------------------------------------------------------------------------ */

#define MOST_THREADS 128u

static int open_counter(pid_t thread, uint64_t event) {
    struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof attr, .config = event};
    attr.inherit = 1; /* threads that come later belong to those that make them */
    return (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* The number of the kernel's event, or 0. */
static uint64_t event_number(void) {
    static const char *const places[] = {"/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
                                         "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id"};
    unsigned long long       number = 0;
    for (size_t i = 0; i < 2 && number == 0; i++) {
        FILE *file = fopen(places[i], "r");
        if (file != NULL) {
            if (fscanf(file, "%llu", &number) != 1) {
                number = 0;
            }
            fclose(file);
        }
    }
    return number;
}

/* One counter for each thread there is; how many. */
static size_t open_counters(int counters[MOST_THREADS]) {
    uint64_t event = event_number();
    DIR     *threads = event == 0 ? NULL : opendir("/proc/self/task");
    size_t   count = 0;
    for (struct dirent *one; threads != NULL && (one = readdir(threads)) != NULL && count < MOST_THREADS;) {
        if (one->d_name[0] != '.') {
            int fd = open_counter((pid_t)atoi(one->d_name), event);
            counters[count] = fd;
            count += fd >= 0;
        }
    }
    if (threads != NULL) {
        closedir(threads);
    }
    return count;
}

double bench_system_calls(const bench_work *work) {
    int      counters[MOST_THREADS];
    double   sum = 0;
    double   wanted = 40e6 / work->median;
    uint64_t operations = wanted < 1 ? 1 : (uint64_t)wanted;
    size_t   count = open_counters(counters);
    bench_time(work, operations);
    for (size_t i = 0; i < count; i++) {
        uint64_t seen = 0;
        sum += read(counters[i], &seen, sizeof seen) == sizeof seen ? (double)seen : 0;
        close(counters[i]);
    }
    return count == 0 ? -1 : sum / (double)operations / work->threads;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static uint64_t begun;

/* The counter of mallocs.so, or NULL. */
static const _Atomic uint64_t *counter(void) { return dlsym(RTLD_DEFAULT, "bench_mallocs_count"); }

void bench_mallocs_begin(void) {
    const _Atomic uint64_t *count = counter();
    begun = count == NULL ? 0 : *count;
}

void bench_mallocs_end(void) {
    const _Atomic uint64_t *count = counter();
    if (count != NULL) {
        printf("mallocs %llu\n", (unsigned long long)(*count - begun));
    }
}

static double count_mallocs(const bench *b, const char *name, uint64_t operations) {
    char               arguments[160], line[512];
    unsigned long long count = 0;
    bool               told = false;
    snprintf(arguments, sizeof arguments, "--count %s %llu", name, (unsigned long long)operations);
    FILE *program = bench_popen(b, "LD_PRELOAD=" BENCH_MALLOCS, arguments);
    while (program != NULL && fgets(line, sizeof line, program) != NULL) {
        told = told || sscanf(line, "mallocs %llu", &count) == 1;
    }
    bool good = program != NULL && pclose(program) == 0;
    return good && told ? (double)count / (double)operations : -1;
}

void bench_mallocs_counted(bench *b, const char *name, void (*run)(uint64_t operations)) {
    char row[96];
    snprintf(row, sizeof row, "%s.mallocs", name);
    if (bench_is_counting(b)) {
        if (strcmp(bench_count_name(b), row) == 0) {
            unsetenv("LD_PRELOAD"); /* it is not for programs that are started here */
            run(bench_count_operations(b));
            exit(0);
        }
        return;
    }
    double count = count_mallocs(b, row, 10000);
    if (count < 0) {
        printf("%s is not counted: the program could not be called with it\n", row);
        return;
    }
    bench_row_bound(b, row, count, "an op", 0);
}
