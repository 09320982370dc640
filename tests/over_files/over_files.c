#include "over_files.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* A forked child of a program with threads ends without them: that is no leak. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "report_thread_leaks=0"; }

ckit_cache *files_open(const char *dir, const char *parameters, const ckit_cache_options *options) {
    char               url[SCRATCH_PATH + 128];
    ckit_cache        *cache = NULL;
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_guard_options none = CKIT_GUARD_OPTIONS_INIT;
    ckit_cache_options unguarded = CKIT_CACHE_OPTIONS_INIT;
    if (options != NULL) {
        unguarded = *options;
    }
    none.enabled = CKIT_OFF; /* how long the machine takes is not what is claimed here */
    unguarded.guard = unguarded.guard == NULL ? &none : unguarded.guard;
    snprintf(url, sizeof url, "file://%s?sync=none%s", dir, parameters);
    CHECK_OK_ERR(ckit_cache_open(url, &unguarded, &cache, &err), &err);
    return cache;
}

#define LONGEST 40000u

static size_t length_of(uint64_t number) { return number % 4 == 3 ? number * 7919 % LONGEST : number * 31 % 200; }

static uint8_t byte_of(uint64_t number, size_t at) {
    uint64_t mixed =
        (number + 1) * UINT64_C(0x9e3779b97f4a7c15) + at * (number % 2 == 0 ? 1 : UINT64_C(0xbf58476d1ce4e5b9));
    return (uint8_t)(number % 2 == 0 ? mixed : mixed >> 40);
}

static ckit_slice value_of(uint64_t number, uint8_t room[LONGEST]) {
    size_t len = length_of(number);
    for (size_t i = 0; i < len; i++) {
        room[i] = byte_of(number, i);
    }
    return ckit_slice_of(room, len);
}

void files_write(ckit_writer *w, uint64_t number) {
    uint8_t room[LONGEST];
    ckit_write_bin(w, value_of(number, room));
}

bool files_is(ckit_slice document, uint64_t number) {
    uint8_t    room[LONGEST];
    ckit_slice bytes;
    return ckit_document_bin(document, &bytes, NULL) == CKIT_OK && ckit_slice_equal(value_of(number, room), bytes);
}

ckit_status files_load(void *context, ckit_load *load, ckit_error *err) {
    _Atomic uint64_t *runs = context;
    ckit_reader       args;
    ckit_args_positional(load->args, &args);
    uint64_t number = ckit_read_uint(&args);
    files_write(load->result, number);
    if (runs != NULL) {
        atomic_fetch_add(runs, 1);
    }
    return ckit_reader_finish(&args, err);
}

ckit_function *files_function(ckit_cache *cache, const char *namespace_name, _Atomic uint64_t *runs) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *function = NULL;
    ckit_error            err = CKIT_ERROR_INIT;
    options.namespace_name = namespace_name;
    CHECK_OK_ERR(ckit_function_new(cache, "story.load", files_load, runs, &options, &function, &err), &err);
    return function;
}

ckit_source files_call(ckit_function *function, uint64_t number) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_args  args;
    ckit_args_init(&args);
    ckit_args_uint(&args, number);
    CHECK_OK_ERR(ckit_call(function, &args, &value, &err), &err);
    CHECKF(files_is(value.data, number), "the value of %llu", (unsigned long long)number);
    ckit_source source = value.source;
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return source;
}

ckit_cache_stats files_stats(ckit_cache *cache) {
    ckit_cache_stats stats = CKIT_CACHE_STATS_INIT;
    ckit_cache_get_stats(cache, &stats);
    return stats;
}

void *files_shared(size_t size) {
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    return shared;
}

void files_join(pid_t child) {
    int status = 0;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x", (unsigned)status);
}
