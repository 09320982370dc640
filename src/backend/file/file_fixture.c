#include "file_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

void fixture_init(fixture *f) {
    memset(f, 0, sizeof *f);
    scratch_make(f->dir);
    fake_clock_init(&f->time);
    f->options = (ckit_file_options)CKIT_FILE_OPTIONS_INIT;
    f->options.directory = f->dir;
    f->options.sync = CKIT_FILE_SYNC_NONE;
    f->env = (ckit_backend_env)CKIT_BACKEND_ENV_INIT;
    f->env.clock = &f->time.clock;
    f->io = &ckiti_file_system_io;
}

void fixture_reopen(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    ckit_backend_close(f->backend);
    CHECK_OK_ERR(ckiti_file_open_with(&f->options, &f->env, f->io, &f->backend, &err), &err);
    f->ops = ckit_backend_operations(f->backend);
    f->self = ckit_backend_self(f->backend);
}

void fixture_open(fixture *f) {
    fixture_init(f);
    fixture_reopen(f);
}

void fixture_init_faulty(fixture *f, faulty_io *io) {
    faulty_io_init(io);
    fixture_init(f);
    f->io = &io->io;
}

void fixture_open_faulty(fixture *f, faulty_io *io) {
    fixture_init_faulty(f, io);
    fixture_reopen(f);
}

void fixture_close(fixture *f) {
    ckit_backend_close(f->backend);
    f->backend = NULL;
    scratch_remove(f->dir);
}

const char *fixture_path(fixture *f, const char *name) {
    snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
    return f->path;
}

ckit_status fixture_set(fixture *f, const char *key, const char *value, uint64_t ttl_ms) {
    ckit_entry_info info = {.ttl_ms = ttl_ms};
    return f->ops->set(f->self, S(key), S(value), &info, CKIT_NO_DEADLINE, NULL);
}

ckit_status fixture_set_owned(fixture *f, const char *key, const char *value, const char *namespace_name,
                              const char *function) {
    ckit_entry_info info = {.ttl_ms = 60000, .namespace_name = S(namespace_name), .function = S(function)};
    return f->ops->set(f->self, S(key), S(value), &info, CKIT_NO_DEADLINE, NULL);
}

void fixture_expect(fixture *f, const char *key, const char *value) {
    ckit_buf    out = CKIT_BUF_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    uint64_t    life_ms = 0;
    ckit_status st = f->ops->get(f->self, S(key), CKIT_NO_DEADLINE, &out, &life_ms, &err);
    CHECK_STATUS_ERR(value == NULL ? CKIT_MISS : CKIT_OK, st, &err);
    if (value != NULL) {
        CHECK_TEXT(value, ckit_buf_slice(&out));
    }
    ckit_buf_fini(&out);
}

static size_t count_names(const char *dir, bool temps) {
    DIR   *d = opendir(dir);
    size_t count = 0;
    CHECK(d != NULL);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        count += temps ? strstr(entry->d_name, ".tmp.") != NULL : ckiti_file_is_entry_name(entry->d_name);
    }
    closedir(d);
    return count;
}

size_t fixture_entries(const fixture *f) { return count_names(f->dir, false); }
size_t fixture_temps(const fixture *f) { return count_names(f->dir, true); }
size_t open_descriptors(void) { return scratch_count_files("/proc/self/fd"); }
