/* A guard's notice: written by its process, taken away with the guard. */
#include "guard/notice.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "guard/guard.h"
#include "guard/notice_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES 64u

/* ---- the text ---------------------------------------------------------------------------------------------------- */

typedef struct page {
    char   text[CKITI_NOTICE_BYTES];
    size_t len;
} page;

__attribute__((format(printf, 2, 3))) static void put(page *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(p->text + p->len, sizeof p->text - p->len, format, args);
    va_end(args);
    p->len += len > 0 && (size_t)len < sizeof p->text - p->len ? (size_t)len : 0;
}

static void describe(ckiti_guard *guard, page *p) {
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    uint64_t         pid = (uint64_t)getpid();
    char             value[CKITI_NOTICE_FIGURE];
    ckit_guard_get_stats(guard, &stats);
    put(p, "%s\npid %" PRIu64 "\nborn %" PRIu64 "\n", CKITI_NOTICE_HEAD, pid, ckiti_notice_born(pid));
    put(p, "program %.40s\nstore %s\n", program_invocation_short_name, guard->name);
    put(p, "told %" PRId64 "\n", ckiti_wall_ms(guard->clock));
    put(p, "max_concurrent %u\nqueue_size %u\n", guard->backpressure.most, guard->backpressure.queue_size);
    put(p, "failure_threshold %u\nrecovery_timeout_ms %" PRIu64 "\n", guard->breaker.options.failure_threshold,
        guard->breaker.options.recovery_ms);
    for (size_t i = 0; ckiti_notice_figure(i, &stats, value) != NULL; i++) {
        put(p, "%s %s\n", ckiti_notice_figure(i, &stats, value), value);
    }
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static void name_file(const ckiti_notice *notice, char name[NAME_BYTES]) {
    (void)snprintf(name, NAME_BYTES, CKITI_NOTICE_PREFIX "%ld-%08" PRIx32, (long)getpid(), notice->number);
}

/* A file that is ours alone. In a directory where others may write too, what stands there under its name is nothing to write
 * to: a pipe would hold the operation up. */
static int open_fresh(int dir, const char *name) {
    const int how = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int       fd = openat(dir, name, how, 0600);
    return fd < 0 && errno == EEXIST && unlinkat(dir, name, 0) == 0 ? openat(dir, name, how, 0600) : fd;
}

/* Nobody is told that this failed: the next time is a second away. */
static void write_page(ckiti_notice *notice, const page *p) {
    char name[NAME_BYTES];
    char fresh[NAME_BYTES + 1];
    name_file(notice, name);
    (void)snprintf(fresh, sizeof fresh, ".%s", name);
    int fd = open_fresh(notice->dir, fresh);
    if (fd < 0) {
        return;
    }
    bool whole = write(fd, p->text, p->len) == (ssize_t)p->len;
    (void)close(fd);
    if (!whole || renameat(notice->dir, fresh, notice->dir, name) != 0) {
        (void)unlinkat(notice->dir, fresh, 0);
    }
    notice->told_by = getpid();
}

/* False: somebody is at it. */
static bool tell(ckiti_guard *guard) {
    ckiti_notice *notice = &guard->notice;
    if (atomic_flag_test_and_set_explicit(&notice->writing, memory_order_acquire)) {
        return false;
    }
    page p;
    p.len = 0;
    atomic_store_explicit(&notice->due_us, ckiti_guard_now_us(guard) + CKITI_NOTICE_PAUSE_US, memory_order_relaxed);
    describe(guard, &p);
    write_page(notice, &p);
    atomic_flag_clear_explicit(&notice->writing, memory_order_release);
    return true;
}

void ckiti_notice_tell(ckiti_guard *guard) {
    if (guard->notice.tells && !tell(guard)) { /* who may have looked before the change */
        atomic_store_explicit(&guard->notice.due_us, 0, memory_order_relaxed);
    }
}

void ckiti_notice_pass(ckiti_guard *guard, uint64_t now_us) {
    if (guard->notice.tells && now_us >= atomic_load_explicit(&guard->notice.due_us, memory_order_relaxed)) {
        (void)tell(guard);
    }
}

/* ---- beginning and ending ---------------------------------------------------------------------------------------- */

static void come_by(void *self, uint64_t now_us) { ckiti_notice_pass(self, now_us); }

void ckiti_notice_begin(ckiti_guard *guard, const char *status_dir) {
    ckiti_notice *notice = &guard->notice;
    bool          there = mkdir(status_dir, 0700) == 0 || errno == EEXIST;
    notice->dir = there ? open(status_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (notice->dir < 0) {
        ckiti_log(&guard->log, CKIT_LOG_WARNING, "guard",
                  "%s: other processes are not told how it is: %.200s cannot be used: %s", guard->name, status_dir,
                  strerror(errno));
        return;
    }
    notice->number = (uint32_t)ckiti_random_u64();
    notice->tells = true;
    guard->data.found = guard->locks.found = come_by;
    guard->data.self = guard->locks.self = guard;
    ckiti_notice_tidy(notice->dir);
    ckiti_notice_tell(guard);
}

void ckiti_notice_end(ckiti_guard *guard) {
    ckiti_notice *notice = &guard->notice;
    char          name[NAME_BYTES];
    if (!notice->tells) {
        return;
    }
    if (notice->told_by == getpid()) {
        name_file(notice, name);
        (void)unlinkat(notice->dir, name, 0);
    }
    (void)close(notice->dir);
    notice->tells = false;
}

void ckiti_notice_fork_child(ckiti_notice *notice) {
    atomic_flag_clear(&notice->writing);
    atomic_store(&notice->due_us, 0);
    notice->told_by = 0;
}
