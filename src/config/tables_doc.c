/* Keeps the tables of the documentation equal to those of the library.
 *
 *     ckit_tables settings FILE        compares the tables between the markers of FILE with the settings
 *     ckit_tables write-settings FILE  rewrites them
 *     ckit_tables statuses FILE        looks for one row of a table for each status, and no others */
#include <cachekit/error.h>
#include <cachekit/settings.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN "<!-- settings: begin (made from the library's table; `settings-doc` rewrites it) -->\n"
#define END "<!-- settings: end -->\n"

static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    char *text = NULL;
    if (file != NULL) {
        size_t size = 0;
        if (getdelim(&text, &size, '\0', file) < 0) {
            free(text);
            text = NULL;
        }
        (void)fclose(file);
    }
    if (text == NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
    }
    return text;
}

static bool write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    bool  good = file != NULL && fputs(text, file) >= 0;
    if (file != NULL && fclose(file) != 0) {
        good = false;
    }
    if (!good) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
    }
    return good;
}

/* ---- settings --------------------------------------------------------------------------------------------- */

static void print_row(FILE *out, const ckit_setting *s) {
    (void)fprintf(out, "| `%s` | ", s->variable);
    if (s->url_parameter != NULL) {
        (void)fprintf(out, "`%s` | ", s->url_parameter);
    } else {
        (void)fprintf(out, "the path | ");
    }
    (void)fprintf(out, "%s | %s | %s | ", s->type, s->default_text, s->range);
    if (s->option != NULL) {
        (void)fprintf(out, "`%s` | ", s->option);
    } else {
        (void)fprintf(out, "| ");
    }
    (void)fprintf(out, "%s |\n", s->help);
}

static char *settings_tables(void) {
    char  *text = NULL;
    size_t size;
    FILE  *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    const char *group = "";
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const ckit_setting *s = ckit_settings_at(i);
        if (strcmp(group, s->group) != 0) {
            group = s->group;
            (void)fprintf(out, "\n### %c%s\n\n", group[0] - 32, group + 1);
            (void)fprintf(out, "| Variable | In a URL | Type | Default | Allowed | Option in C | Meaning |\n");
            (void)fprintf(out, "|---|---|---|---|---|---|---|\n");
        }
        print_row(out, s);
    }
    (void)fputs("\n", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* The document with its tables replaced; NULL when it has no markers. */
static char *with_tables(const char *document, const char *tables) {
    const char *begin = strstr(document, BEGIN);
    const char *end = begin == NULL ? NULL : strstr(begin, END);
    if (end == NULL) {
        (void)fprintf(stderr, "no markers '%.*s' and '%.*s'\n", (int)strlen(BEGIN) - 1, BEGIN, (int)strlen(END) - 1,
                      END);
        return NULL;
    }
    begin += strlen(BEGIN);
    size_t size = strlen(document) + strlen(tables) + 1;
    char  *text = malloc(size);
    if (text != NULL) {
        (void)snprintf(text, size, "%.*s%s%s", (int)(begin - document), document, tables, end);
    }
    return text;
}

static int settings(const char *path, bool write) {
    char *document = read_file(path);
    char *tables = settings_tables();
    char *wanted = document == NULL || tables == NULL ? NULL : with_tables(document, tables);
    bool  good = wanted != NULL;
    if (good && strcmp(document, wanted) != 0) {
        good = write && write_file(path, wanted);
        if (!write) {
            (void)fprintf(stderr, "%s: the tables are not those of the library: build the target settings-doc\n", path);
        }
    }
    free(document);
    free(tables);
    free(wanted);
    return good ? 0 : 1;
}

/* ---- statuses --------------------------------------------------------------------------------------------- */

/* A row begins with what the library knows and goes on with two more columns for people. */
static bool has_row(const char *document, ckit_status status) {
    char row[256];
    (void)snprintf(row, sizeof row, "\n| %s | `CKIT_%s` | %s | %s | ", ckit_status_code(status),
                   ckit_status_name(status), ckit_error_kind_name(ckit_status_kind(status)), ckit_status_text(status));
    const char *found = strstr(document, row);
    if (found == NULL) {
        (void)fprintf(stderr, "no row begins with:%s\n", row);
        return false;
    }
    size_t columns = 0;
    for (const char *c = found + strlen(row); *c != '\n' && *c != '\0'; c++) {
        columns += *c == '|' && c[-1] == ' ';
    }
    if (columns != 2) {
        (void)fprintf(stderr, "not two columns after:%s\n", row);
    }
    return columns == 2;
}

static int statuses(const char *path) {
    static const ckit_status all[] = {
#define STATUS(name, value, kind, code, text) CKIT_##name,
        CKIT_STATUS_TABLE(STATUS)
#undef STATUS
    };
    char *document = read_file(path);
    if (document == NULL) {
        return 1;
    }
    size_t count = sizeof all / sizeof all[0];
    bool   good = true;
    for (size_t i = 0; i < count; i++) {
        good = has_row(document, all[i]) && good;
    }
    size_t rows = 0;
    for (const char *row = document; (row = strstr(row, "\n| E")) != NULL; row++) {
        rows++;
    }
    if (rows != count) {
        (void)fprintf(stderr, "%s: %zu rows for %zu statuses\n", path, rows, count);
        good = false;
    }
    free(document);
    return good ? 0 : 1;
}

int main(int argc, char **argv) {
    const char *what = argc == 3 ? argv[1] : "";
    if (strcmp(what, "settings") == 0) {
        return settings(argv[2], false);
    }
    if (strcmp(what, "write-settings") == 0) {
        return settings(argv[2], true);
    }
    if (strcmp(what, "statuses") == 0) {
        return statuses(argv[2]);
    }
    (void)fprintf(stderr, "usage: %s settings|write-settings|statuses FILE\n", argv[0]);
    return 2;
}
