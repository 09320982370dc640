/* config/captured.h - a sink for tests that keeps its lines. */
#ifndef CKITI_CONFIG_CAPTURED_H
#define CKITI_CONFIG_CAPTURED_H

#include <cachekit/types.h>
#include <stdio.h>
#include <string.h>

typedef struct captured {
    ckit_log log; /* hand out &lines.log */
    size_t   count;
    char     text[4096]; /* "warning settings: ...\n" for each line */
    size_t   used;
} captured;

static inline void captured_write(void *self, ckit_log_level level, const char *component, const char *line) {
    static const char *const names[] = {"default", "debug", "info", "warning", "error", "off"};
    captured                *lines = self;
    int n = snprintf(lines->text + lines->used, sizeof lines->text - lines->used, "%s %s: %s\n", names[level],
                     component, line);
    if (n > 0 && (size_t)n < sizeof lines->text - lines->used) {
        lines->used += (size_t)n;
    }
    lines->count++;
}

static inline void captured_init(captured *lines, ckit_log_level level) {
    memset(lines, 0, sizeof *lines);
    lines->log = (ckit_log){captured_write, lines, level};
}

#endif
