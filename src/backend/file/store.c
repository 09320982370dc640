/* Opening, closing, health, and the table of operations (at the end). */
#include "store.h"

#include "base/alloc.h"
#include "base/misuse.h"
#include "index.h"
#include "lease.h"
#include "stats.h"
#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MIB (UINT64_C(1024) * 1024)

static const ckit_backend_ops file_ops;

void ckit_file_options_init(ckit_file_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

/* ---- options --------------------------------------------------------------------------------------------- */

static ckit_status check_range(const char *name, uint64_t value, uint64_t low, uint64_t high, ckit_error *err) {
    if (value >= low && value <= high) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_FILE_WHERE, "%s is %" PRIu64 ", range %" PRIu64 "..%" PRIu64,
                     name, value, low, high);
}

static ckit_status check_mode(const char *name, uint32_t mode, uint32_t needed, ckit_error *err) {
    if ((mode & ~0777u) == 0 && (mode & 022u) == 0 && (mode & needed) == needed) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_FILE_WHERE,
                     "%s is %#o: the owner needs %#o, group and others must not write, range up to 0755", name, mode,
                     needed);
}

static void fill_defaults(ckit_file_options *o) {
    o->max_size_bytes = o->max_size_bytes == 0 ? 1024 * MIB : o->max_size_bytes;
    o->max_entry_count = o->max_entry_count == 0 ? 10000 : o->max_entry_count;
    o->lock_timeout_ms = o->lock_timeout_ms == 0 ? 5000 : o->lock_timeout_ms;
    o->permissions = o->permissions == 0 ? 0600 : o->permissions;
    o->dir_permissions = o->dir_permissions == 0 ? 0700 : o->dir_permissions;
    o->sync = o->sync == CKIT_FILE_SYNC_DEFAULT ? CKIT_FILE_SYNC_DATA : o->sync;
    if (o->max_value_bytes == 0) {
        uint64_t half = o->max_size_bytes / 2;
        o->max_value_bytes = half < 100 * MIB ? half : 100 * MIB;
    }
}

static ckit_status check_options(const ckit_file_options *o, ckit_error *err) {
    if (o->directory == NULL || o->directory[0] == '\0') {
        return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_FILE_WHERE, "directory is empty: it must be a path");
    }
    if ((unsigned)o->sync > (unsigned)CKIT_FILE_SYNC_FULL) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_FILE_WHERE, "sync is %u, range 0..3", (unsigned)o->sync);
    }
    ckit_status st = check_range("max_size_bytes", o->max_size_bytes, MIB, 1000000 * MIB, err);
    if (st == CKIT_OK) {
        st = check_range("max_value_bytes", o->max_value_bytes, 1, o->max_size_bytes / 2, err);
    }
    if (st == CKIT_OK) {
        st = check_range("max_entry_count", o->max_entry_count, 100, 1000000, err);
    }
    if (st == CKIT_OK) {
        st = check_range("lock_timeout_ms", o->lock_timeout_ms, 500, 30000, err);
    }
    if (st == CKIT_OK) {
        st = check_mode("permissions", o->permissions, 0600, err);
    }
    return st == CKIT_OK ? check_mode("dir_permissions", o->dir_permissions, 0700, err) : st;
}

/* An older program's struct is shorter; what it does not have is zero. */
static ckit_status copy_options(ckit_file_options *out, const ckit_file_options *given, ckit_error *err) {
    if (given == NULL || given->struct_size < offsetof(ckit_file_options, max_size_bytes)) {
        return ckit_fail(err, CKIT_E_MISUSE, CKITI_FILE_WHERE, "options without struct_size");
    }
    memset(out, 0, sizeof *out);
    memcpy(out, given, given->struct_size < sizeof *out ? given->struct_size : sizeof *out);
    fill_defaults(out);
    return check_options(out, err);
}

/* ---- opening and closing ----------------------------------------------------------------------------------- */

static void fork_nothing(void *self) { (void)self; }
static void fork_child(void *self) {
    ckiti_file_usage_forget(self);
    ckiti_file_stats_forget(self);
}

static void file_close(void *self) {
    ckiti_file_store *store = self;
    if (store == NULL) {
        return;
    }
    ckiti_fork_unregister(&store->fork_hooks);
    if (store->dir_fd >= 0) {
        ckiti_file_usage_flush(store);
        ckiti_file_stats_flush(store);
        store->io->close(store->io->self, store->dir_fd);
    }
    ckiti_file_index_fini(store);
    if (store->directory != NULL) {
        ckiti_free(store->alloc, store->directory, strlen(store->directory) + 1);
    }
    ckiti_free(store->alloc, store, sizeof *store);
}

/* Without trailing slashes: behind one, O_NOFOLLOW follows. */
static char *copy_path(const ckit_alloc *alloc, const char *path) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return ckiti_strdup_slice(alloc, (ckit_slice){(const uint8_t *)path, len});
}

static void take_env(ckiti_file_store *store, const ckit_backend_env *env) {
    if (env == NULL) {
        return;
    }
    store->alloc = env->alloc;
    store->clock = env->clock;
    if (env->log != NULL) {
        store->log = *env->log;
    }
}

ckit_status ckiti_file_open_with(const ckit_file_options *options, const ckit_backend_env *env, const ckiti_file_io *io,
                                 ckit_backend **out, ckit_error *err) {
    *out = NULL;
    ckit_file_options checked = CKIT_FILE_OPTIONS_INIT;
    ckit_status       st = copy_options(&checked, options, err);
    if (st != CKIT_OK) {
        return st;
    }
    const ckit_alloc *alloc = env == NULL ? NULL : env->alloc;
    ckiti_file_store *store = ckiti_alloc_zeroed(alloc, 1, sizeof *store);
    if (store == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_FILE_WHERE, "no memory for a store");
    }
    take_env(store, env);
    store->dir_fd = -1;
    store->io = io;
    store->owner = geteuid();
    store->options = checked;
    store->directory = copy_path(alloc, checked.directory);
    store->options.directory = store->directory;
    if (store->directory == NULL) {
        st = ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_FILE_WHERE, "no memory for a path");
    }
    if (st == CKIT_OK) {
        st = ckiti_file_dir_open(store, &store->dir_fd, err);
    }
    if (st == CKIT_OK) {
        st = ckit_backend_new(&file_ops, store, env, out, err);
    }
    if (st != CKIT_OK) {
        file_close(store);
        return st;
    }
    store->fork_hooks =
        (ckiti_fork_hooks){.prepare = fork_nothing, .parent = fork_nothing, .child = fork_child, .self = store};
    ckiti_fork_register(&store->fork_hooks);
    ckiti_file_stats_begin(store);
    ckiti_file_sweep(store);
    return CKIT_OK;
}

ckit_status ckit_file_open(const ckit_file_options *options, const ckit_backend_env *env, ckit_backend **out,
                           ckit_error *err) {
    return out == NULL ? ckiti_there_is_no(err, CKITI_FILE_WHERE, "place for the backend")
                       : ckiti_file_open_with(options, env, &ckiti_file_system_io, out, err);
}

/* ---- health -------------------------------------------------------------------------------------------------- */

/* Writes, reads and removes a file of its own, so that two checks at once do not meet and nobody's entry is touched. */
static ckit_status probe(ckiti_file_store *store, ckit_error *err) {
    const ckiti_file_io *io = store->io;
    uint8_t              sent[CKITI_FILE_HEADER_BYTES], back[CKITI_FILE_HEADER_BYTES] = {0};
    ckiti_file_header_write(sent, 0);
    struct iovec    part = {sent, sizeof sent};
    ckiti_file_temp temp;
    ckit_status     st = ckiti_file_temp_write(store, ".ck-probe", &part, 1, false, &temp, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_file_opened opened;
    st = ckiti_file_entry_open(store, temp.name, O_RDONLY, &opened, err);
    if (st == CKIT_OK) {
        part = (struct iovec){back, sizeof back};
        if (ckiti_file_read_all(io, opened.fd, &part, 1, 0) < 0) {
            st = ckiti_file_fail(err, errno, "reading the probe");
        }
        io->close(io->self, opened.fd);
    }
    io->unlink(io->self, store->dir_fd, temp.name);
    if (st == CKIT_MISS || (st == CKIT_OK && memcmp(sent, back, sizeof sent) != 0)) {
        st = ckit_fail(err, CKIT_E_IO, CKITI_FILE_WHERE, "the probe did not come back as it was written");
    }
    return st;
}

static double now_fine_ms(const ckiti_file_store *store) {
    if (store->clock != NULL) {
        return (double)ckiti_now_ms(store->clock);
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void file_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    ckiti_file_store *store = self;
    ckit_error        err = CKIT_ERROR_INIT;
    double            start = now_fine_ms(store);
    ckit_status       st = ckiti_file_check_deadline(store, deadline_ms, &err);
    if (st == CKIT_OK) {
        st = probe(store, &err);
    }
    *out = (ckit_health){.healthy = st == CKIT_OK,
                         .latency_ms = now_fine_ms(store) - start,
                         .entries = UINT64_MAX,
                         .bytes = UINT64_MAX,
                         .limit_bytes = store->options.max_size_bytes};
    snprintf(out->backend_type, sizeof out->backend_type, "file");
    if (st != CKIT_OK) {
        snprintf(out->detail, sizeof out->detail, "%.159s", err.text);
        return;
    }
    (void)ckiti_file_usage_read(store, deadline_ms, &out->bytes, &out->entries);
}

static const ckit_backend_ops file_ops = {
    .abi = CKIT_BACKEND_ABI,
    .name = "file",
    .get = ckiti_file_get,
    .set = ckiti_file_set,
    .remove = ckiti_file_remove,
    .exists = ckiti_file_exists,
    .health = file_health,
    .close = file_close,
    .ttl = ckiti_file_ttl,
    .touch = ckiti_file_touch,
    .list = ckiti_file_list,
    .delete_scope = ckiti_file_delete_scope,
    .lock_try = ckiti_file_lock_try,
    .lock_renew = ckiti_file_lock_renew,
    .lock_renew_many = ckiti_file_lock_renew_many,
    .lock_release = ckiti_file_lock_release,
    .set_if_owner = ckiti_file_set_if_owner,
    .stats = ckiti_file_stats,
    .sweep = ckiti_file_sweep_now,
    .replace = ckiti_file_replace,
};
