/* bench/bench.h - measured rows: one .c file is one family.
 *
 *     BENCH_FAMILY(l1) {
 *         bench_work works[] = {{"floor", floor_get, &floor, 1}, {"get", tier_get, &tier, 1}};
 *         bench_run(b, works, 2);
 *         bench_row_at_most(b, "l1.get.zipf.1t", works[1].median, "ns", "floor", works[0].median, 1.5);
 *     }
 *
 * Add the file to this directory as <family>_bench.c and it is part of ckit_bench. What is compared runs interleaved in
 * one process: every round runs each work once, and a row tells medians of the rounds. Rows go to standard output as a
 * table and to a file as a JSON list:
 *
 *     {"name", "value", "unit", "against", "against_value", "ratio", "goal", "holds"}
 *
 * Used by one thread. Out of memory ends the program. */
#ifndef CKIT_BENCH_H
#define CKIT_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct bench bench;

/* Something that is timed. */
typedef struct bench_work {
    const char *name;
    /* Does the operation `operations` times in each of the work's threads. */
    void (*run)(void *context, unsigned thread, uint64_t operations);
    void    *context;
    unsigned threads; /* at least 1; they start together */

    /* results, nanoseconds an operation: wall time by the operations of one thread */
    double median, best;
    double cpu; /* median of the processor time of all threads of the process, nanoseconds by all operations */
} bench_work;

/* Runs the works for at least five rounds. The number of operations is chosen so that a round of each takes about 40 ms
 * (200 ms with more than eight threads); a work that takes longer than that for one operation runs it once a round. */
void bench_run(bench *b, bench_work *works, size_t count);

/* System calls of all threads of the process in one round of the work, by all operations. Negative where the kernel
 * does not let them be counted (perf_event_open on raw_syscalls:sys_enter, which takes privileges). */
double bench_system_calls(const bench_work *work);

/* Rows. `against` NULL: nothing to compare with; then the ratio is left out too. */
void bench_row_at_most(bench *b, const char *name, double value, const char *unit, const char *against,
                       double against_value, double most_ratio);
void bench_row_at_least(bench *b, const char *name, double value, const char *unit, const char *against,
                        double against_value, double least_ratio);
/* A bound on how much is added to what it is compared with, in the same unit. */
void bench_row_added(bench *b, const char *name, double value, const char *unit, const char *against,
                     double against_value, double most_added);
/* A bound on the value itself. */
void bench_row_bound(bench *b, const char *name, double value, const char *unit, double most);
/* No goal; compared when `against` is not NULL. */
void bench_row_plain(bench *b, const char *name, double value, const char *unit, const char *against,
                     double against_value);
/* Rows that another program of the build prints as a JSON list. `path` is relative to ckit_bench's own directory. A
 * program that is not there is left out with a remark. */
void bench_rows_of_program(bench *b, const char *path);

/* The repeatable figure beside a time: when the program is called as `ckit_bench --count NAME N`, this runs `run` with
 * N operations and leaves the program, so that valgrind can count. Otherwise, where valgrind is installed, it is called
 * that way twice and rows NAME.instructions, NAME.d1_misses and NAME.ll_misses (an operation) are added.
 *
 * Call it before anything is prepared for timing; `run` prepares for itself. */
void bench_counted(bench *b, const char *name, void (*run)(uint64_t operations));
/* How often steady use asks for memory, the C library's own asking included, by malloc, calloc, realloc and the aligned
 * ones: a row NAME.mallocs, which is to be 0. The program is called as above, with mallocs.so preloaded; `run` warms
 * up, and does the operations between bench_mallocs_begin and bench_mallocs_end. */
void bench_mallocs_counted(bench *b, const char *name, void (*run)(uint64_t operations));
void bench_mallocs_begin(void);
void bench_mallocs_end(void);
/* True while the program was called with --count: a family then stops after its counted works. */
bool bench_is_counting(const bench *b);

/* A deterministic generator (SplitMix64), the same sequence for the same seed everywhere. */
uint64_t bench_random(uint64_t *state);
/* `count` draws from Zipf's law over 0 .. items - 1 with the given exponent; item numbers are shuffled, so that
 * popular ones are not neighbours. Free with free(). */
uint32_t *bench_zipf(double exponent, uint32_t items, size_t count, uint64_t seed);
/* Keeps a result alive without storing it. */
static inline void bench_keep(uint64_t value) { __asm__ volatile("" : : "r"(value) : "memory"); }
void              *bench_alloc(size_t bytes);
/* Resident memory of this process in bytes. */
uint64_t bench_resident(void);

/* private */
double      bench_time(const bench_work *work, uint64_t operations); /* nanoseconds */
const char *bench_count_name(const bench *b);                        /* NULL: not counting */
uint64_t    bench_count_operations(const bench *b);
/* Calls this program with something in front of it, for its output. */
FILE *bench_popen(const bench *b, const char *before, const char *arguments);

typedef struct bench_family {
    const char *name;
    void (*body)(bench *b);
    struct bench_family *next;
} bench_family;
void bench_add_family(bench_family *family);

#define BENCH_FAMILY(family)                                                                                           \
    static void                              bench_##family(bench *b);                                                 \
    __attribute__((constructor)) static void bench_##family##_add(void) {                                              \
        static bench_family self = {#family, bench_##family, NULL};                                                    \
        bench_add_family(&self);                                                                                       \
    }                                                                                                                  \
    static void bench_##family(bench *b)

#endif
