#include "chaos.h"

#include <stdarg.h>
#include <string.h>

void broken(outcome *o, const char *format, ...) {
    va_list args;
    if (o->broken[0] != '\0') {
        return;
    }
    va_start(args, format);
    vsnprintf(o->broken, sizeof o->broken, format, args);
    va_end(args);
}

void skip(outcome *o, const char *why) {
    o->skipped = true;
    snprintf(o->note, sizeof o->note, "%s", why);
}

void judge(const plan *p, outcome *o) {
    if (o->errors > 0) {
        broken(o, "%llu callers saw errors that were not the function's", (unsigned long long)o->errors);
    }
    if (o->older > 0) {
        broken(o, "%llu older values came back", (unsigned long long)o->older);
    }
    if (!p->quick && o->most_runs > 0 && o->runs > o->most_runs) {
        broken(o, "the function ran %llu times, at most %llu were to be", (unsigned long long)o->runs,
               (unsigned long long)o->most_runs);
    }
    if (!p->quick && o->bound_ms > 0 && o->worst_ms > o->bound_ms) {
        broken(o, "a call took %llu ms", (unsigned long long)o->worst_ms);
    }
    if (o->agreed_ms > (p->quick ? 60000 : (int64_t)AGREE_MS)) {
        broken(o, "agreed only after %lld ms", (long long)o->agreed_ms);
    }
}

void print_head(void) {
    printf("%-34s %7s %7s %6s %7s %6s %6s %5s %7s %7s %7s  %s\n", "fault", "calls", "fresh", "stale", "compd", "errors",
           "runs", "older", "worst", "bound", "agreed", "holds");
}

void print_row(const outcome *o) {
    char bound[24] = "-";
    char agreed[24] = "-";
    if (o->skipped) {
        printf("%-34s skipped: %s\n", o->fault, o->note);
        return;
    }
    if (o->bound_ms > 0) {
        snprintf(bound, sizeof bound, "%llu", (unsigned long long)o->bound_ms);
    }
    if (o->agreed_ms >= 0) {
        snprintf(agreed, sizeof agreed, "%lld", (long long)o->agreed_ms);
    }
    printf("%-34s %7llu %7llu %6llu %7llu %6llu %6llu %5llu %7llu %7s %7s  %s%s%s\n", o->fault,
           (unsigned long long)o->calls, (unsigned long long)o->fresh, (unsigned long long)o->stale,
           (unsigned long long)o->computed, (unsigned long long)o->errors, (unsigned long long)o->runs,
           (unsigned long long)o->older, (unsigned long long)o->worst_ms, bound, agreed,
           o->broken[0] == '\0' ? "yes" : "NO", o->broken[0] != '\0' || o->note[0] != '\0' ? ": " : "",
           o->broken[0] != '\0' ? o->broken : o->note);
    fflush(stdout);
}

static void write_text(FILE *file, const char *name, const char *text) {
    fprintf(file, "\"%s\": \"", name);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', file);
        }
        fputc((unsigned char)*text < 32 ? ' ' : *text, file);
    }
    fputs("\", ", file);
}

bool write_json(const char *path, const outcome *rows, size_t count, double seconds) {
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return false;
    }
    fprintf(file, "{\"seconds\": %.1f, \"rows\": [\n", seconds);
    for (size_t i = 0; i < count; i++) {
        const outcome *o = &rows[i];
        const struct {
            const char *name;
            uint64_t    value;
        } figures[] = {{"calls", o->calls},        {"fresh", o->fresh},       {"stale", o->stale},
                       {"computed", o->computed},  {"errors", o->errors},     {"runs", o->runs},
                       {"older", o->older},        {"worst_ms", o->worst_ms}, {"bound_ms", o->bound_ms},
                       {"most_runs", o->most_runs}};
        fputs("  {", file);
        write_text(file, "fault", o->fault);
        for (size_t f = 0; f < sizeof figures / sizeof figures[0]; f++) {
            fprintf(file, "\"%s\": %llu, ", figures[f].name, (unsigned long long)figures[f].value);
        }
        fprintf(file, "\"agreed_ms\": %lld, ", (long long)o->agreed_ms);
        write_text(file, "note", o->broken[0] != '\0' ? o->broken : o->note);
        fprintf(file, "\"holds\": %s}%s\n",
                o->skipped             ? "null"
                : o->broken[0] == '\0' ? "true"
                                       : "false",
                i + 1 < count ? "," : "");
    }
    fputs("]}\n", file);
    return fclose(file) == 0;
}
