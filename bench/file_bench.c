/* The file store: 4 KB values read and written, against the bare system calls with the same syncing. */
#include "bench.h"

#include <cachekit/buf.h>
#include <cachekit/file.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS 256u
#define VALUE_BYTES 4096u
#define FILE_BYTES (VALUE_BYTES + 14u)

typedef struct place {
    char                    dir[256];
    int                     bare_fd; /* of dir/bare */
    bool                    sync;
    ckit_backend           *backend; /* in dir/store */
    const ckit_backend_ops *ops;
    void                   *self;
    char                    keys[KEYS][64];
    char                    names[KEYS][40];
    uint8_t                 value[FILE_BYTES];
    ckit_buf                out;
    uint64_t                turn;
} place;

static void require(bool good, const char *what) {
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void store_one(place *p, uint64_t i) {
    ckit_entry_info info = {.ttl_ms = 3600000};
    ckit_slice      value = ckit_slice_of(p->value, VALUE_BYTES);
    ckit_error      err = CKIT_ERROR_INIT;
    require(p->ops->set(p->self, ckit_slice_str(p->keys[i % KEYS]), value, &info, CKIT_NO_DEADLINE, &err) == CKIT_OK,
            err.text);
}

static void bare_store_one(place *p, uint64_t i) {
    char temp[64];
    snprintf(temp, sizeof temp, "%s.tmp", p->names[i % KEYS]);
    int fd = openat(p->bare_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, p->value, FILE_BYTES) == (ssize_t)FILE_BYTES, "bare write");
    require(!p->sync || fdatasync(fd) == 0, "bare sync");
    close(fd);
    require(renameat(p->bare_fd, temp, p->bare_fd, p->names[i % KEYS]) == 0, "bare rename");
}

static const char *disk(void) {
    const char *base = getenv("TMPDIR");
    return base == NULL ? "/tmp" : base;
}

/* Instructions are the same on every file system: then on the quickest. */
static const char *memory(void) { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : disk(); }

static place *place_make(const char *base, bool sync) {
    place            *p = bench_alloc(sizeof *p);
    ckit_file_options options = CKIT_FILE_OPTIONS_INIT;
    ckit_error        err = CKIT_ERROR_INIT;
    char              sub[300];
    memset(p, 0, sizeof *p);
    memset(p->value, 'v', sizeof p->value);
    snprintf(p->dir, sizeof p->dir, "%.200s/ckit-bench-XXXXXX", base);
    require(mkdtemp(p->dir) != NULL, p->dir);
    snprintf(sub, sizeof sub, "%s/bare", p->dir);
    require(mkdir(sub, 0700) == 0, sub);
    p->bare_fd = open(sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(sub, sizeof sub, "%s/store", p->dir);
    options.directory = sub;
    options.sync = CKIT_FILE_SYNC_NONE;
    p->sync = false;
    for (int turn = 0; turn < 2; turn++) { /* filled without syncing, then opened again as asked */
        require(ckit_file_open(&options, NULL, &p->backend, &err) == CKIT_OK, err.text);
        p->ops = ckit_backend_operations(p->backend);
        p->self = ckit_backend_self(p->backend);
        for (uint64_t i = 0; turn == 0 && i < KEYS; i++) {
            snprintf(p->keys[i], sizeof p->keys[i], "ns:bench:func:report.build:args:%024d:1s", (int)i);
            snprintf(p->names[i], sizeof p->names[i], "%032x", (unsigned)i * 2654435761u);
            store_one(p, i);
            bare_store_one(p, i);
        }
        if (turn == 0) {
            ckit_backend_close(p->backend);
            options.sync = sync ? CKIT_FILE_SYNC_DATA : CKIT_FILE_SYNC_NONE;
            p->sync = sync;
        }
    }
    return p;
}

static void place_remove(place *p) {
    char command[300];
    ckit_buf_fini(&p->out);
    ckit_backend_close(p->backend);
    close(p->bare_fd);
    snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    require(system(command) == 0, command);
    free(p);
}

static void run_get(void *context, unsigned thread, uint64_t operations) {
    place *p = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t   life_ms;
        ckit_slice key = ckit_slice_str(p->keys[p->turn++ % KEYS]);
        p->out.len = 0;
        require(p->ops->get(p->self, key, CKIT_NO_DEADLINE, &p->out, &life_ms, NULL) == CKIT_OK, "get");
    }
}

static void run_bare_get(void *context, unsigned thread, uint64_t operations) {
    place *p = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        int fd = openat(p->bare_fd, p->names[p->turn++ % KEYS], O_RDONLY | O_CLOEXEC);
        require(fd >= 0 && read(fd, p->value, FILE_BYTES) == (ssize_t)FILE_BYTES, "bare read");
        close(fd);
    }
}

static void run_set(void *context, unsigned thread, uint64_t operations) {
    place *p = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        store_one(p, p->turn++);
    }
}

static void run_bare_set(void *context, unsigned thread, uint64_t operations) {
    place *p = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        bare_store_one(p, p->turn++);
    }
}

static void count_get(uint64_t operations) {
    place *p = place_make(memory(), false);
    run_get(p, 0, operations);
    place_remove(p);
}

static void count_set(uint64_t operations) {
    place *p = place_make(memory(), false);
    run_set(p, 0, operations);
    place_remove(p);
}

BENCH_FAMILY(file) {
    bench_counted(b, "file.get", count_get);
    bench_counted(b, "file.set", count_set);
    if (bench_is_counting(b)) {
        return;
    }
    place     *synced = place_make(disk(), true);
    place     *quick = place_make(disk(), false);
    bench_work reads[] = {{.name = "open/read/close", .run = run_bare_get, .context = quick, .threads = 1},
                          {.name = "get", .run = run_get, .context = quick, .threads = 1}};
    bench_work writes[] = {{.name = "write/sync/rename", .run = run_bare_set, .context = synced, .threads = 1},
                           {.name = "set, synced", .run = run_set, .context = synced, .threads = 1},
                           {.name = "write/rename", .run = run_bare_set, .context = quick, .threads = 1},
                           {.name = "set", .run = run_set, .context = quick, .threads = 1}};
    bench_run(b, reads, 2); /* before the disk is kept busy */
    bench_run(b, writes, 4);
    bench_row_at_most(b, "file.get", reads[1].median, "ns", "open/read/close", reads[0].median, 1.5);
    bench_row_at_most(b, "file.set", writes[1].median, "ns", "write/sync/rename", writes[0].median, 1.5);
    /* Without syncing, as a measure of the store's own share; on a disk it is mostly what the file system does. */
    bench_row_plain(b, "file.set.nosync", writes[3].median, "ns", "write/rename", writes[2].median);
    place_remove(synced);
    place_remove(quick);
}
