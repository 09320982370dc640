/* hitratio - the hit ratio of the memory tier's policy against reference models, as rows of the benchmark.
 *
 *     hitratio [--out FILE]
 *
 * Writes a JSON array to FILE or standard output and a table with every model to standard error. TRACES=dir in the
 * environment adds each file of that directory (traces.h says what they hold). Exit code 1 when a goal is missed. */
#include "traces.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_BELOW 5.0

typedef struct report {
    FILE  *out;
    size_t rows;
    double ours, references[HITRATIO_REFERENCES]; /* sums of percentages */
    bool   all_hold;
} report;

typedef struct row {
    const char *name, *against, *goal;
    double      value, against_value;
    bool        holds;
} row;

static void write_row(report *r, const row *w) {
    double ratio = w->against_value > 0 ? w->value / w->against_value : 1;
    fprintf(r->out,
            "%s\n  {\"name\": \"hitratio.%s\", \"value\": %.3f, \"unit\": \"%%\", \"against\": \"%s\", "
            "\"against_value\": %.3f, \"ratio\": %.4f, \"goal\": \"%s\", \"holds\": %s}",
            r->rows == 0 ? "[" : ",", w->name, w->value, w->against, w->against_value, ratio, w->goal,
            w->holds ? "true" : "false");
    r->all_hold = r->all_hold && w->holds;
    r->rows++;
}

static double percent(const hitratio_model *model, const hitratio_trace *trace, size_t capacity) {
    return 100.0 * (double)hitratio_hits(model, trace, capacity) / (double)trace->len;
}

static size_t largest(const double *values) {
    size_t best = 0;
    for (size_t i = 1; i < HITRATIO_REFERENCES; i++) {
        best = values[i] > values[best] ? i : best;
    }
    return best;
}

static void measure(report *r, const char *name, const hitratio_trace *trace, size_t capacity) {
    double ours = percent(&hitratio_ckit, trace, capacity);
    double theirs[HITRATIO_REFERENCES];
    fprintf(stderr, "%-24s %6.2f |", name, ours);
    for (size_t i = 0; i < HITRATIO_REFERENCES; i++) {
        theirs[i] = percent(hitratio_references[i], trace, capacity);
        r->references[i] += theirs[i];
        fprintf(stderr, " %9.2f", theirs[i]);
    }
    size_t best = largest(theirs);
    r->ours += ours;
    fprintf(stderr, " | %6.2f | %+6.2f\n", percent(&hitratio_opt, trace, capacity), ours - theirs[best]);
    write_row(r, &(row){.name = name,
                        .against = hitratio_references[best]->name,
                        .goal = "<= 5 points below the best",
                        .value = ours,
                        .against_value = theirs[best],
                        .holds = theirs[best] - ours <= POINTS_BELOW});
}

/* Caches of 1, 5, 10 and 25 % of `keys`. */
static const unsigned sizes[] = {1, 5, 10, 25};
#define SIZES (sizeof sizes / sizeof sizes[0])

static size_t capacity_of(uint32_t keys, size_t size) {
    size_t capacity = (size_t)keys * sizes[size] / 100;
    return capacity > 0 ? capacity : 1;
}

static void measure_sizes(report *r, const char *trace_name, hitratio_trace trace, uint32_t keys) {
    for (size_t i = 0; i < SIZES; i++) {
        char name[128];
        snprintf(name, sizeof name, "%.100s.%upct", trace_name, sizes[i]);
        measure(r, name, &trace, capacity_of(keys, i));
    }
    trace_free(&trace);
}

/* Loops are as long as the cache times `percent_of_cache` / 100. */
static void measure_loops(report *r, unsigned percent_of_cache) {
    for (size_t i = 0; i < SIZES; i++) {
        char           name[64];
        size_t         capacity = capacity_of(TRACES_KEYS, i);
        hitratio_trace trace = trace_loop((uint32_t)(capacity * percent_of_cache / 100));
        snprintf(name, sizeof name, "loop%u.%upct", percent_of_cache, sizes[i]);
        measure(r, name, &trace, capacity);
        trace_free(&trace);
    }
}

/* A file's name as part of a row's: letters, digits, - and _ stay. */
static void measure_file(report *r, const char *dir, const char *file) {
    char           path[4096], name[64];
    hitratio_trace trace;
    size_t         len = 0;
    if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path || !trace_read(path, &trace)) {
        return;
    }
    for (; file[len] != '\0' && len < sizeof name - 1; len++) {
        bool plain = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", file[len]) != NULL;
        name[len] = plain ? file[len] : '_';
    }
    name[len] = '\0';
    measure_sizes(r, name, trace, trace.universe);
}

static void measure_directory(report *r, const char *path) {
    struct dirent **files;
    int             count = scandir(path, &files, NULL, alphasort);
    if (count < 0) {
        fprintf(stderr, "hitratio: TRACES=%s: %s\n", path, strerror(errno));
        r->all_hold = false;
        return;
    }
    for (int i = 0; i < count; i++) {
        if (files[i]->d_name[0] != '.') {
            measure_file(r, path, files[i]->d_name);
        }
        free(files[i]);
    }
    free(files);
}

static void measure_mean(report *r) {
    double rows = (double)r->rows;
    size_t best = largest(r->references);
    fprintf(stderr, "%-24s %6.2f |", "mean", r->ours / rows);
    for (size_t i = 0; i < HITRATIO_REFERENCES; i++) {
        fprintf(stderr, " %9.2f", r->references[i] / rows);
    }
    fprintf(stderr, " |        | %+6.2f\n", (r->ours - r->references[best]) / rows);
    write_row(r, &(row){.name = "mean",
                        .against = hitratio_references[best]->name,
                        .goal = "above the best single one",
                        .value = r->ours / rows,
                        .against_value = r->references[best] / rows,
                        .holds = r->ours > r->references[best]});
}

static void measure_all(report *r) {
    const char *traces = getenv("TRACES");
    fprintf(stderr, "%-24s %6s |", "hits in %", "ours");
    for (size_t i = 0; i < HITRATIO_REFERENCES; i++) {
        fprintf(stderr, " %9s", hitratio_references[i]->name);
    }
    fprintf(stderr, " | %6s | %6s\n", "OPT", "best");
    measure_sizes(r, "zipf070", trace_zipf(0.7), TRACES_KEYS);
    measure_sizes(r, "zipf099", trace_zipf(0.99), TRACES_KEYS);
    measure_sizes(r, "zipf120", trace_zipf(1.2), TRACES_KEYS);
    measure_sizes(r, "scan", trace_scan(), TRACES_KEYS);
    measure_sizes(r, "moving", trace_moving(), TRACES_KEYS);
    measure_sizes(r, "phases", trace_phases(), TRACES_KEYS);
    measure_loops(r, 120);
    measure_loops(r, 200);
    measure_loops(r, 400);
    if (traces != NULL && traces[0] != '\0') {
        measure_directory(r, traces);
    }
    measure_mean(r);
}

int main(int argc, char **argv) {
    report r = {.out = stdout, .all_hold = true};
    if (argc == 3 && strcmp(argv[1], "--out") == 0) {
        r.out = fopen(argv[2], "w");
        if (r.out == NULL) {
            fprintf(stderr, "hitratio: %s: %s\n", argv[2], strerror(errno));
            return 2;
        }
    } else if (argc != 1) {
        fprintf(stderr, "usage: hitratio [--out FILE]\n");
        return 2;
    }
    measure_all(&r);
    fprintf(r.out, "\n]\n");
    if (fflush(r.out) != 0 || ferror(r.out)) {
        fprintf(stderr, "hitratio: the rows could not be written\n");
        return 2;
    }
    return r.all_hold ? 0 : 1;
}
