#include "base/log.h"

#include "support/test.h"

typedef struct sink {
    int            lines;
    ckit_log_level level;
    char           component[32];
    char           text[600];
} sink;

static void keep(void *self, ckit_log_level level, const char *component, const char *line) {
    sink *s = self;
    s->lines++;
    s->level = level;
    strncpy(s->component, component, sizeof s->component - 1);
    strncpy(s->text, line, sizeof s->text - 1);
}

CKIT_TEST(log, lines_below_the_level_are_not_made) {
    sink     s = {0};
    ckit_log log = {.write = keep, .self = &s, .level = CKIT_LOG_ERROR};
    ckiti_log(&log, CKIT_LOG_WARNING, "cache", "quiet");
    CHECK_EQ_I(0, s.lines);
    ckiti_log(&log, CKIT_LOG_ERROR, "cache", "loud %d", 7);
    CHECK_EQ_I(1, s.lines);
    CHECK_STR("loud 7", s.text);
    CHECK_STR("cache", s.component);
    log.level = CKIT_LOG_OFF;
    ckiti_log(&log, CKIT_LOG_ERROR, "cache", "nobody");
    CHECK_EQ_I(1, s.lines);
}

CKIT_TEST(log, the_default_level_is_warning) {
    sink     s = {0};
    ckit_log log = {.write = keep, .self = &s};
    ckiti_log(&log, CKIT_LOG_INFO, "cache", "quiet");
    CHECK_EQ_I(0, s.lines);
    ckiti_log(&log, CKIT_LOG_WARNING, "cache", "loud");
    CHECK_EQ_I(1, s.lines);
}

CKIT_TEST(log, one_line_stays_one_line) {
    sink     s = {0};
    ckit_log log = {.write = keep, .self = &s};
    ckiti_log(&log, CKIT_LOG_ERROR, "file", "a\nforged: line\r\x1b[31m%0600d", 1);
    CHECK(strpbrk(s.text, "\n\r\x1b") == NULL);
    CHECK_EQ_U(511, strlen(s.text));
}
