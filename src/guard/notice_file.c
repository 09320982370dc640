/* Notices of guards as files: their figures, reading them, and leaving out those of processes that are gone. */
#include "guard/notice_file.h"

#include "base/misuse.h"

#include <cachekit/error.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEPT_S 3600 /* so long a notice stays that its process has left behind */
#define FRESH_S 10  /* so young a notice is believed although its process cannot be seen from here */

/* ---- figures ----------------------------------------------------------------------------------------------------- */

typedef enum figure_type { FIGURE_U32, FIGURE_U64, FIGURE_BOOL, FIGURE_MS, FIGURE_STATE } figure_type;

typedef struct figure {
    const char *name;
    size_t      offset;
    figure_type type;
} figure;

#define FIGURE(field, type)                                                                                            \
    { #field, offsetof(ckit_guard_stats, field), FIGURE_##type }
/* Milliseconds with a fraction are told in microseconds: its point would follow the program's locale. */
#define DURATION(class, which)                                                                                         \
    /* NOLINTNEXTLINE(bugprone-macro-parentheses): the name of a member */                                             \
    { #class "." #which "_us", offsetof(ckit_guard_stats, class.which##_ms), FIGURE_MS }
static const figure figures[] = {
    FIGURE(state, STATE),         FIGURE(failures_in_a_row, U32),
    FIGURE(probe_successes, U32), FIGURE(probes, U32),
    FIGURE(recovery_in_ms, U64),  FIGURE(failures, U64),
    FIGURE(refused, U64),         FIGURE(opened, U64),
    FIGURE(half_opened, U64),     FIGURE(closed, U64),
    FIGURE(in_flight, U32),       FIGURE(waiting, U32),
    FIGURE(waited, U64),          FIGURE(rejected, U64),
    FIGURE(accepting, BOOL),      FIGURE(retries, U64),
    FIGURE(recovered, U64),       FIGURE(data.operations, U64),
    FIGURE(data.window, U32),     FIGURE(data.timeout_ms, U32),
    DURATION(data, percentile),   DURATION(data, average),
    FIGURE(data.timed_out, U64),  FIGURE(locks.operations, U64),
    FIGURE(locks.window, U32),    FIGURE(locks.timeout_ms, U32),
    DURATION(locks, percentile),  DURATION(locks, average),
    FIGURE(locks.timed_out, U64), FIGURE(last_failure_ms_ago, U64),
};
#define FIGURE_COUNT (sizeof figures / sizeof *figures)

static uint64_t whole_of(const void *at, figure_type type) {
    switch (type) {
    case FIGURE_U32: return *(const uint32_t *)at;
    case FIGURE_BOOL: return *(const bool *)at;
    case FIGURE_STATE: return (uint64_t) * (const ckit_breaker_state *)at;
    case FIGURE_MS: return (uint64_t)(*(const double *)at * 1000 + 0.5);
    default: return *(const uint64_t *)at;
    }
}

const char *ckiti_notice_figure(size_t i, const ckit_guard_stats *stats, char value[CKITI_NOTICE_FIGURE]) {
    if (i >= FIGURE_COUNT) {
        return NULL;
    }
    const void *at = (const char *)stats + figures[i].offset;
    (void)snprintf(value, CKITI_NOTICE_FIGURE, "%" PRIu64, whole_of(at, figures[i].type));
    return figures[i].name;
}

static void take_figure(ckit_guard_stats *stats, const figure *f, const char *text) {
    void    *at = (char *)stats + f->offset;
    uint64_t whole = strtoull(text, NULL, 10);
    switch (f->type) {
    case FIGURE_U32: *(uint32_t *)at = (uint32_t)whole; break;
    case FIGURE_U64: *(uint64_t *)at = whole; break;
    case FIGURE_BOOL: *(bool *)at = whole != 0; break;
    case FIGURE_STATE:
        *(ckit_breaker_state *)at = whole <= CKIT_BREAKER_HALF_OPEN ? (ckit_breaker_state)whole : CKIT_BREAKER_CLOSED;
        break;
    case FIGURE_MS: *(double *)at = (double)whole / 1000; break;
    }
}

/* ---- whose ------------------------------------------------------------------------------------------------------- */

uint64_t ckiti_notice_born(uint64_t pid) {
    char path[48];
    char line[1024];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", pid);
    int     fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    line[len > 0 ? len : 0] = '\0';
    const char *at = strrchr(line, ')'); /* the end of the name, field 2, which may hold anything; 22 is wanted */
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

static int64_t age_s(const struct stat *about) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec - (int64_t)about->st_mtim.tv_sec;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

typedef struct told {
    char              text[CKITI_NOTICE_BYTES];
    ckit_guard_notice notice;
    ckit_guard_stats  stats;
    uint64_t          born;
    struct stat       about;
} told;

static bool lives(const told *t) {
    return (kill((pid_t)t->notice.pid, 0) == 0 || errno == EPERM) && t->born == ckiti_notice_born(t->notice.pid);
}

static void take_number(told *t, const char *name, const char *value) {
    const struct {
        const char *name;
        uint32_t   *number;
    } limits[] = {{"max_concurrent", &t->notice.max_concurrent},
                  {"queue_size", &t->notice.queue_size},
                  {"failure_threshold", &t->notice.failure_threshold},
                  {"recovery_timeout_ms", &t->notice.recovery_timeout_ms}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (strcmp(name, limits[i].name) == 0) {
            *limits[i].number = (uint32_t)strtoul(value, NULL, 10);
        }
    }
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        if (strcmp(name, figures[i].name) == 0) {
            take_figure(&t->stats, &figures[i], value);
        }
    }
}

/* Names that are not known belong to a later version. */
static void take_line(told *t, const char *name, const char *value) {
    if (strcmp(name, "pid") == 0) {
        t->notice.pid = strtoull(value, NULL, 10);
    } else if (strcmp(name, "born") == 0) {
        t->born = strtoull(value, NULL, 10);
    } else if (strcmp(name, "program") == 0) {
        t->notice.program = value;
    } else if (strcmp(name, "store") == 0) {
        t->notice.store = value;
    } else if (strcmp(name, "told") == 0) {
        t->notice.told_wall_ms = (int64_t)(strtoull(value, NULL, 10) & INT64_MAX); /* readers reckon with it */
    } else {
        take_number(t, name, value);
    }
}

/* False: it is no notice. */
static bool parse(told *t) {
    char *rest = NULL;
    char *line = strtok_r(t->text, "\n", &rest);
    t->notice = (ckit_guard_notice){.struct_size = sizeof t->notice, .program = "", .store = "", .stats = &t->stats};
    t->stats = (ckit_guard_stats)CKIT_GUARD_STATS_INIT;
    t->born = 0;
    if (line == NULL || strcmp(line, CKITI_NOTICE_HEAD) != 0) {
        return false;
    }
    while ((line = strtok_r(NULL, "\n", &rest)) != NULL) {
        char *space = strchr(line, ' ');
        if (space != NULL) {
            *space = '\0';
            take_line(t, line, space + 1);
        }
    }
    return t->notice.pid > 0 && t->notice.pid <= INT32_MAX;
}

static bool read_notice(int dir, const char *name, told *t) {
    if (strncmp(name, CKITI_NOTICE_PREFIX, sizeof CKITI_NOTICE_PREFIX - 1) != 0) {
        return false;
    }
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool    whole = fstat(fd, &t->about) == 0 && S_ISREG(t->about.st_mode);
    ssize_t len = whole ? read(fd, t->text, sizeof t->text - 1) : -1;
    (void)close(fd);
    t->text[len > 0 ? len : 0] = '\0';
    return len > 0 && parse(t);
}

ckit_status ckit_guard_notices(const char *status_dir, ckit_guard_notice_fn each, void *context, ckit_error *err) {
    if (status_dir == NULL || each == NULL) {
        return ckiti_there_is_no(err, "guard", each == NULL ? "function to call" : "directory");
    }
    DIR *listing = opendir(status_dir);
    if (listing == NULL) {
        return errno == ENOENT ? CKIT_MISS
                               : ckit_fail_errno(err, errno == EACCES ? CKIT_E_PERMISSION : CKIT_E_IO, errno, "guard",
                                                 "the directory of what guards tell");
    }
    for (const struct dirent *one = readdir(listing); one != NULL; one = readdir(listing)) {
        told t;
        if (read_notice(dirfd(listing), one->d_name, &t) && (lives(&t) || age_s(&t.about) < FRESH_S)) {
            each(context, &t.notice);
        }
    }
    (void)closedir(listing);
    return CKIT_OK;
}

/* What a notice is called until it is whole; its writer may have been killed in between. */
static bool is_unfinished(int dir, const char *name, struct stat *about) {
    return strncmp(name, "." CKITI_NOTICE_PREFIX, sizeof CKITI_NOTICE_PREFIX) == 0 &&
           fstatat(dir, name, about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(about->st_mode);
}

static bool is_left_behind(int dir, const char *name) {
    told t;
    return (is_unfinished(dir, name, &t.about) || (read_notice(dir, name, &t) && !lives(&t))) &&
           age_s(&t.about) > KEPT_S;
}

void ckiti_notice_tidy(int dir) {
    int  again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = again < 0 ? NULL : fdopendir(again);
    for (const struct dirent *one = listing == NULL ? NULL : readdir(listing); one != NULL; one = readdir(listing)) {
        if (is_left_behind(dir, one->d_name)) {
            (void)unlinkat(dir, one->d_name, 0);
        }
    }
    if (listing != NULL) {
        (void)closedir(listing);
    } else if (again >= 0) {
        (void)close(again);
    }
}
