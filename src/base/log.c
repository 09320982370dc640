#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static const char *level_name(ckit_log_level level) {
    switch (level) {
    case CKIT_LOG_DEBUG: return "debug";
    case CKIT_LOG_INFO: return "info";
    case CKIT_LOG_ERROR: return "error";
    default: return "warning";
    }
}

void ckiti_log(const ckit_log *log, ckit_log_level level, const char *component, const char *format, ...) {
    ckit_log_level floor = log == NULL || log->level == CKIT_LOG_DEFAULT ? CKIT_LOG_WARNING : log->level;
    if (level < floor) {
        return;
    }
    char    line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = ' '; /* one line stays one line, whatever a file name holds */
        }
    }
    if (log != NULL && log->write != NULL) {
        log->write(log->self, level, component, line);
    } else {
        fprintf(stderr, "cachekit %s %s: %s\n", component, level_name(level), line);
    }
}
