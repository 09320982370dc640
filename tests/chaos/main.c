/* chaos [--quick] [--out FILE] [--only TEXT]: a table of what callers see while things fail. Exit code 1 when a bound
 * does not hold, 2 when it cannot run. */
#include "chaos.h"

#include <string.h>

#define MOST_ROWS 64

static void run_rows(const plan *p, const row *rows, size_t count, const char *only, outcome *out, size_t *done) {
    for (size_t i = 0; i < count && *done < MOST_ROWS; i++) {
        if (only != NULL && strstr(rows[i].fault, only) == NULL) {
            continue;
        }
        outcome *o = &out[(*done)++];
        *o = (outcome){.fault = rows[i].fault, .agreed_ms = -1};
        rows[i].run(p, o);
        print_row(o);
    }
}

static int sum_up(const plan *p, const outcome *all, size_t count) {
    size_t failed = 0;
    size_t skipped = 0;
    for (size_t i = 0; i < count; i++) {
        failed += all[i].broken[0] != '\0';
        skipped += all[i].skipped;
    }
    printf("%zu passed, %zu failed, %zu skipped\n", count - failed - skipped, failed, skipped);
    return failed > 0 || (skipped > 0 && !p->quick) ? 1 : 0;
}

int main(int argc, char **argv) {
    static outcome all[MOST_ROWS];
    plan           p = {.self = "/proc/self/exe"};
    const char    *path = NULL;
    const char    *only = NULL;
    size_t         done = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            p.quick = true;
        } else if (strcmp(argv[i], "--out") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--lead") == 0 && i + 1 < argc) {
            return lead_for_ever(argv[++i]);
        } else {
            fprintf(stderr, "usage: %s [--quick] [--out FILE] [--only TEXT]\n", argv[0]);
            return 2;
        }
    }
    uint64_t began = now_ms();
    print_head();
    run_rows(&p, rows_of_store, rows_of_store_count, only, all, &done);
    run_rows(&p, rows_of_files, rows_of_files_count, only, all, &done);
    run_rows(&p, rows_of_leaders, rows_of_leaders_count, only, all, &done);
    if (path != NULL && !write_json(path, all, done, (double)(now_ms() - began) / 1000)) {
        perror(path);
        return 2;
    }
    return sum_up(&p, all, done);
}
