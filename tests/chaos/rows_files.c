/* The disk is full, or the clock is wrong, under a file store. */
#include "chaos.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcntl.h>

static const settings usual = {0};

static uint64_t fault_ms(const plan *p) { return p->quick ? 250 : 2500; }

static bool make_dir(char dir[64]) {
    const char *scratch = getenv("CKIT_SCRATCH");
    (void)mkdir(scratch != NULL ? scratch : "/tmp", 0700);
    snprintf(dir, 64, "%.40s/chaos-XXXXXX", scratch != NULL && strlen(scratch) <= 40 ? scratch : "/tmp");
    return mkdtemp(dir) != NULL;
}

static void remove_dir(const char *dir) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) {
        fprintf(stderr, "chaos: %s stays\n", dir);
    }
}

static void judge_files(world *w, const plan *p, outcome *o, uint64_t worked_ms) {
    world_rest(w);
    o->agreed_ms = await_agreement(w);
    world_tell(w, o);
    o->bound_ms = TIMEOUT_MS + LOCK_WAIT_MS + TIMEOUT_MS; /* as with a server */
    o->most_runs = SIDES * ARGUMENTS * (worked_ms / (TTL_MS / 2) + 2) * (CALLERS + 1);
    judge(p, o);
}

/* ---- the disk ---------------------------------------------------------------------------------------------------- */

/* Writes until there is no room. */
static void fill(const char *path) {
    static char bytes[4096];
    int         fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    while (fd >= 0 && write(fd, bytes, sizeof bytes) > 0) {}
    while (fd >= 0 && write(fd, bytes, 1) > 0) {}
    if (fd >= 0) {
        close(fd);
    }
}

static void row_full(const plan *p, outcome *o) {
    char  dir[64], store[96], filler[96];
    world w;
    if (!make_dir(dir)) {
        skip(o, "no directory");
        return;
    }
    if (mount("chaos", dir, "tmpfs", 0, "size=2m") != 0) {
        skip(o, strerror(errno));
        remove_dir(dir);
        return;
    }
    snprintf(store, sizeof store, "%s/store", dir);
    snprintf(filler, sizeof filler, "%s/filler", dir);
    uint64_t began = now_ms();
    if (world_open_files(&w, p, &usual, store, o)) {
        world_work(&w);
        nap_ms(p->quick ? 100 : 500);
        for (uint64_t end = now_ms() + fault_ms(p); now_ms() < end; nap_ms(10)) {
            fill(filler); /* what was removed meanwhile makes room for nobody */
        }
        (void)unlink(filler);
        judge_files(&w, p, o, now_ms() - began);
    }
    world_close(&w);
    (void)umount(dir);
    remove_dir(dir);
}

/* ---- the clock --------------------------------------------------------------------------------------------------- */

static void step(const plan *p, outcome *o, int64_t ms) {
    char     dir[64];
    world    w;
    uint64_t began = now_ms();
    if (!make_dir(dir)) {
        skip(o, "no directory");
        return;
    }
    if (world_open_files(&w, p, &usual, dir, o)) {
        world_work(&w);
        nap_ms(p->quick ? 100 : 500);
        w.clock_step_ms = ms;
        nap_ms(fault_ms(p));
        judge_files(&w, p, o, now_ms() - began);
    }
    world_close(&w);
    remove_dir(dir);
}

static void row_back(const plan *p, outcome *o) { step(p, o, -3600000); }
static void row_forward(const plan *p, outcome *o) { step(p, o, 3600000); }

const row rows_of_files[] = {
    {"disk full", row_full},
    {"clock an hour back", row_back},
    {"clock an hour ahead", row_forward},
};
const size_t rows_of_files_count = sizeof rows_of_files / sizeof rows_of_files[0];
