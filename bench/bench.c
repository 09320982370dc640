#include "bench.h"

#include "bench/zipf.h"

#include <cachekit/cachekit.h>
#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <lz4.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define ROUNDS 9u
#define ROUND_NS 40e6
#define MAX_THREADS 64u
#define FEW_THREADS 8u

struct bench {
    FILE       *out;  /* NULL: no file */
    char       *self; /* path of this program */
    size_t      rows;
    size_t      missed;
    const char *count_name; /* --count */
    uint64_t    count_operations;
};

static bench_family *families;

void bench_add_family(bench_family *family) {
    bench_family **place = &families;
    while (*place != NULL && strcmp((*place)->name, family->name) < 0) {
        place = &(*place)->next;
    }
    family->next = *place;
    *place = family;
}

void *bench_alloc(size_t bytes) {
    void *ptr = malloc(bytes == 0 ? 1 : bytes);
    if (ptr == NULL) {
        fprintf(stderr, "ckit_bench: no memory for %zu bytes\n", bytes);
        exit(2);
    }
    return ptr;
}

uint64_t bench_resident(void) {
    unsigned long total = 0, resident = 0;
    FILE         *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &total, &resident) != 2) {
            resident = 0;
        }
        fclose(file);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- numbers --------------------------------------------------------------------------------------------- */

uint64_t bench_random(uint64_t *state) { return cli_random(state); }

static uint32_t *shuffled(uint32_t items, uint64_t *state) {
    uint32_t *order = bench_alloc(items * sizeof *order);
    for (uint32_t i = 0; i < items; i++) {
        uint32_t j = (uint32_t)(bench_random(state) % (i + 1u));
        order[i] = order[j];
        order[j] = i;
    }
    return order;
}

uint32_t *bench_zipf(double exponent, uint32_t items, size_t count, uint64_t seed) {
    uint32_t *draws = bench_alloc(count * sizeof *draws);
    uint32_t *order = shuffled(items, &seed);
    cli_zipf  law;
    cli_zipf_init(&law, items, exponent);
    for (size_t n = 0; n < count; n++) {
        draws[n] = order[cli_zipf_next(&law, &seed)];
    }
    free(order);
    return draws;
}

/* ---- time ------------------------------------------------------------------------------------------------ */

static double read_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double now_ns(void) { return read_ns(CLOCK_MONOTONIC); }

typedef struct runner {
    const bench_work  *work;
    unsigned           thread;
    uint64_t           operations;
    pthread_barrier_t *barrier;
    double             start, end;
} runner;

static void *run_thread(void *context) {
    runner *self = context;
    pthread_barrier_wait(self->barrier);
    self->start = now_ns();
    self->work->run(self->work->context, self->thread, self->operations);
    self->end = now_ns();
    return NULL;
}

/* Wall time of all threads, from when the first leaves the line until the last is done. The threads tell it themselves:
 * where they share a core, whoever started them may come to read the clock only after some have finished. */
static double time_threads(const bench_work *work, uint64_t operations) {
    pthread_barrier_t barrier;
    pthread_t         threads[MAX_THREADS];
    runner            runners[MAX_THREADS];
    double            start = INFINITY, end = 0;
    pthread_barrier_init(&barrier, NULL, work->threads);
    for (unsigned i = 0; i < work->threads; i++) {
        runners[i] = (runner){work, i, operations, &barrier, 0, 0};
        if (pthread_create(&threads[i], NULL, run_thread, &runners[i]) != 0) {
            fprintf(stderr, "ckit_bench: no thread: %s\n", strerror(errno));
            exit(2);
        }
    }
    for (unsigned i = 0; i < work->threads; i++) {
        pthread_join(threads[i], NULL);
        start = fmin(start, runners[i].start);
        end = fmax(end, runners[i].end);
    }
    pthread_barrier_destroy(&barrier);
    return end - start;
}

double bench_time(const bench_work *work, uint64_t operations) {
    if (work->threads > 1) {
        return time_threads(work, operations);
    }
    double start = now_ns();
    work->run(work->context, 0, operations);
    return now_ns() - start;
}

/* Operations that take about ROUND_NS, for a crowd of threads longer, because their beginning and end take long too;
 * warms the work up on the way. */
static uint64_t calibrate(const bench_work *work) {
    uint64_t operations = 1;
    double   wanted_ns = work->threads > FEW_THREADS ? 5 * ROUND_NS : ROUND_NS;
    double   taken = bench_time(work, operations);
    while (taken < wanted_ns / 2 && operations < UINT64_C(1) << 40) {
        operations *= taken < wanted_ns / 32 ? 8 : 2;
        taken = bench_time(work, operations);
    }
    double wanted = (double)operations * wanted_ns / taken;
    return wanted < 1 ? 1 : (uint64_t)wanted;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_run(bench *b, bench_work *works, size_t count) {
    (void)b;
    uint64_t *operations = bench_alloc(count * sizeof *operations);
    double(*taken)[ROUNDS] = bench_alloc(count * sizeof *taken);
    double(*spent)[ROUNDS] = bench_alloc(count * sizeof *spent);
    for (size_t i = 0; i < count; i++) {
        operations[i] = calibrate(&works[i]);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            double before = read_ns(CLOCK_PROCESS_CPUTIME_ID);
            taken[i][round] = bench_time(&works[i], operations[i]) / (double)operations[i];
            spent[i][round] = (read_ns(CLOCK_PROCESS_CPUTIME_ID) - before) / (double)operations[i] / works[i].threads;
        }
    }
    for (size_t i = 0; i < count; i++) {
        qsort(taken[i], ROUNDS, sizeof taken[i][0], by_value);
        works[i].median = taken[i][ROUNDS / 2];
        works[i].best = taken[i][0];
        qsort(spent[i], ROUNDS, sizeof spent[i][0], by_value);
        works[i].cpu = spent[i][ROUNDS / 2];
    }
    free(spent);
    free(taken);
    free(operations);
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

typedef struct row {
    const char *name;
    double      value;
    const char *unit;
    const char *against; /* NULL: none */
    double      against_value;
    const char *goal; /* NULL: none */
    bool        holds;
} row;

static void begin_row(bench *b) {
    if (b->out != NULL) {
        fputs(b->rows == 0 ? "[\n  " : ",\n  ", b->out);
    }
    b->rows++;
}

static void write_text(FILE *out, const char *name, const char *text) {
    fprintf(out, "\"%s\": ", name);
    if (text == NULL) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        if ((unsigned char)*text >= 0x20) {
            fputc(*text, out);
        }
    }
    fputc('"', out);
}

static void write_number(FILE *out, const char *name, bool there, double number) {
    if (there && isfinite(number)) {
        fprintf(out, "\"%s\": %.6g", name, number);
    } else {
        fprintf(out, "\"%s\": null", name);
    }
}

static void add_row(bench *b, const row *r) {
    bool   compared = r->against != NULL && r->against_value != 0;
    double ratio = compared ? r->value / r->against_value : 0;
    printf("%-34s %12.6g %-8s", r->name, r->value, r->unit);
    if (r->against != NULL) {
        printf(" %s %.6g", r->against, r->against_value);
    }
    if (compared) {
        printf("  %.2fx", ratio);
    }
    if (r->goal != NULL) {
        printf("  goal %s  %s", r->goal, r->holds ? "holds" : "MISSED");
        b->missed += !r->holds;
    }
    putchar('\n');
    fflush(stdout);
    begin_row(b);
    if (b->out == NULL) {
        return;
    }
    fputc('{', b->out);
    write_text(b->out, "name", r->name);
    fputs(", ", b->out);
    write_number(b->out, "value", true, r->value);
    fputs(", ", b->out);
    write_text(b->out, "unit", r->unit);
    fputs(", ", b->out);
    write_text(b->out, "against", r->against);
    fputs(", ", b->out);
    write_number(b->out, "against_value", r->against != NULL, r->against_value);
    fputs(", ", b->out);
    write_number(b->out, "ratio", compared, ratio);
    fputs(", ", b->out);
    write_text(b->out, "goal", r->goal);
    fprintf(b->out, ", \"holds\": %s}", r->holds ? "true" : "false");
    fflush(b->out);
}

void bench_row_at_most(bench *b, const char *name, double value, const char *unit, const char *against,
                       double against_value, double most_ratio) {
    char goal[32];
    snprintf(goal, sizeof goal, "<= %gx", most_ratio);
    add_row(b, &(row){name, value, unit, against, against_value, goal, value <= against_value * most_ratio});
}

void bench_row_at_least(bench *b, const char *name, double value, const char *unit, const char *against,
                        double against_value, double least_ratio) {
    char goal[32];
    snprintf(goal, sizeof goal, ">= %gx", least_ratio);
    add_row(b, &(row){name, value, unit, against, against_value, goal, value >= against_value * least_ratio});
}

void bench_row_added(bench *b, const char *name, double value, const char *unit, const char *against,
                     double against_value, double most_added) {
    char goal[32];
    snprintf(goal, sizeof goal, "<= + %g %s", most_added, unit);
    add_row(b, &(row){name, value, unit, against, against_value, goal, value - against_value <= most_added});
}

void bench_row_bound(bench *b, const char *name, double value, const char *unit, double most) {
    char goal[32];
    snprintf(goal, sizeof goal, "<= %g", most);
    add_row(b, &(row){name, value, unit, NULL, 0, goal, value <= most});
}

void bench_row_plain(bench *b, const char *name, double value, const char *unit, const char *against,
                     double against_value) {
    add_row(b, &(row){name, value, unit, against, against_value, NULL, true});
}

static FILE *open_sibling(const bench *b, const char *path, char *full, size_t size) {
    char *copy = strdup(b->self);
    snprintf(full, size, "%s/%s", copy == NULL ? "." : dirname(copy), path);
    free(copy);
    if (access(full, X_OK) != 0) {
        return NULL;
    }
    return popen(full, "r");
}

/* The rows are copied object by object; braces do not occur inside their texts. */
void bench_rows_of_program(bench *b, const char *path) {
    char  full[4096];
    FILE *program = open_sibling(b, path, full, sizeof full);
    if (program == NULL) {
        printf("%s is not built: its rows are left out\n", path);
        return;
    }
    int depth = 0;
    for (int c = fgetc(program); c != EOF; c = fgetc(program)) {
        if (c == '{' && depth++ == 0) {
            begin_row(b);
        }
        if (depth > 0) {
            putchar(c);
            if (b->out != NULL) {
                fputc(c, b->out);
            }
        }
        if (c == '}' && --depth == 0) {
            putchar('\n');
        }
    }
    if (pclose(program) != 0) {
        fprintf(stderr, "ckit_bench: %s failed\n", full);
        b->missed++;
    }
}

/* ---- counting -------------------------------------------------------------------------------------------- */

bool        bench_is_counting(const bench *b) { return b->count_name != NULL; }
const char *bench_count_name(const bench *b) { return b->count_name; }
uint64_t    bench_count_operations(const bench *b) { return b->count_operations; }

FILE *bench_popen(const bench *b, const char *before, const char *arguments) {
    char command[8704];
    snprintf(command, sizeof command, "%s '%s' %s", before, b->self, arguments);
    return popen(command, "r");
}

typedef struct counts {
    double instructions, d1_misses, ll_misses;
} counts;

/* "I   refs:      1,234" - the number behind the colon, without its commas. */
static double number_after(const char *line, const char *label) {
    const char *at = strstr(line, label);
    if (at == NULL || (at = strchr(at, ':')) == NULL) {
        return -1;
    }
    double value = 0;
    for (at++; *at == ' ' || *at == ',' || isdigit((unsigned char)*at); at++) {
        if (isdigit((unsigned char)*at)) {
            value = value * 10 + (*at - '0');
        } else if (value != 0 && *at == ' ') {
            break;
        }
    }
    return value;
}

static bool count_run(const bench *b, const char *name, uint64_t operations, counts *out) {
    char arguments[160];
    snprintf(arguments, sizeof arguments, "--count %s %llu 2>&1", name, (unsigned long long)operations);
    FILE *program =
        bench_popen(b, "valgrind --tool=cachegrind --cache-sim=yes --cachegrind-out-file=/dev/null", arguments);
    if (program == NULL) {
        return false;
    }
    char line[512];
    *out = (counts){-1, -1, -1};
    while (fgets(line, sizeof line, program) != NULL) {
        double value = number_after(line, "I   refs");
        out->instructions = value >= 0 ? value : out->instructions;
        value = number_after(line, "D1  misses");
        out->d1_misses = value >= 0 ? value : out->d1_misses;
        value = number_after(line, "LLd misses");
        out->ll_misses = value >= 0 ? value : out->ll_misses;
    }
    return pclose(program) == 0 && out->instructions >= 0;
}

void bench_counted(bench *b, const char *name, void (*run)(uint64_t operations)) {
    if (b->count_name != NULL) {
        if (strcmp(b->count_name, name) == 0) {
            run(b->count_operations);
            exit(0);
        }
        return;
    }
    const uint64_t few = 20000, many = 120000;
    counts         low, high;
    char           row_name[96];
    if (system("command -v valgrind >/dev/null 2>&1") != 0 || !count_run(b, name, few, &low) ||
        !count_run(b, name, many, &high)) {
        printf("%s is not counted: no valgrind here\n", name);
        return;
    }
    double operations = (double)(many - few);
    snprintf(row_name, sizeof row_name, "%s.instructions", name);
    bench_row_plain(b, row_name, (high.instructions - low.instructions) / operations, "an op", NULL, 0);
    snprintf(row_name, sizeof row_name, "%s.d1_misses", name);
    bench_row_plain(b, row_name, (high.d1_misses - low.d1_misses) / operations, "an op", NULL, 0);
    snprintf(row_name, sizeof row_name, "%s.ll_misses", name);
    bench_row_plain(b, row_name, (high.ll_misses - low.ll_misses) / operations, "an op", NULL, 0);
}

/* ---- the program ----------------------------------------------------------------------------------------- */

static void cpu_name(char *out, size_t size) {
    char  line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(out, size, "unknown processor");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL) {
            snprintf(out, size, "%.*s", (int)strcspn(strchr(line, ':') + 2, "\n"), strchr(line, ':') + 2);
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void about_row(bench *b) {
    char           cpu[128], text[512];
    struct utsname system_name;
    cpu_name(cpu, sizeof cpu);
    if (uname(&system_name) != 0) {
        snprintf(system_name.release, sizeof system_name.release, "?");
    }
    snprintf(text, sizeof text, "%s; Linux %s; compiler %s; %s; cachekit %s; liblz4 %s; libxxhash %u.%u.%u", cpu,
             system_name.release, __VERSION__, BENCH_BUILD, ckit_version(), LZ4_versionString(),
             XXH_versionNumber() / 10000, XXH_versionNumber() / 100 % 100, XXH_versionNumber() % 100);
    bench_row_plain(b, "about", (double)sysconf(_SC_NPROCESSORS_ONLN), "cores", text, 0);
}

static bool wanted(const bench_family *family, int argc, char **argv, int first) {
    bool all = first >= argc;
    for (int i = first; i < argc; i++) {
        all = all || strcmp(argv[i], family->name) == 0;
    }
    return all;
}

static int usage(void) {
    fputs("usage: ckit_bench [--out FILE] [family...]\n"
          "       ckit_bench --count NAME OPERATIONS    (for valgrind)\n"
          "families:",
          stderr);
    for (const bench_family *family = families; family != NULL; family = family->next) {
        fprintf(stderr, " %s", family->name);
    }
    fputc('\n', stderr);
    return 2;
}

int main(int argc, char **argv) {
    char    self[4096];
    bench   b = {.self = self};
    int     first = 1;
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len < 0 ? 0 : len] = '\0';
    if (argc == 4 && strcmp(argv[1], "--count") == 0) {
        b.count_name = argv[2];
        b.count_operations = strtoull(argv[3], NULL, 10);
        first = argc;
    } else if (argc >= 3 && strcmp(argv[1], "--out") == 0) {
        b.out = fopen(argv[2], "w");
        if (b.out == NULL) {
            fprintf(stderr, "ckit_bench: cannot write %s: %s\n", argv[2], strerror(errno));
            return 2;
        }
        first = 3;
    }
    if (first < argc && argv[first][0] == '-') {
        return usage();
    }
    if (b.count_name == NULL) {
        about_row(&b);
    }
    for (bench_family *family = families; family != NULL; family = family->next) {
        if (wanted(family, argc, argv, first)) {
            family->body(&b);
        }
    }
    if (b.count_name != NULL) {
        fprintf(stderr, "ckit_bench: nothing is counted as %s\n", b.count_name);
        return 2;
    }
    if (b.out != NULL) {
        fputs("\n]\n", b.out);
        fclose(b.out);
    }
    printf("%zu rows, %zu goals missed\n", b.rows, b.missed);
    return 0;
}
