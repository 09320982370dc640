#include "tour_redis.h"

#include "tour_digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define SOME_FILES 400u
#define PATIENCE_MS 200u /* a server on this machine needs a thousandth of it */

typedef struct pass {
    uint64_t computed;
    uint64_t from_server;
    uint64_t failed;
    uint64_t checksum; /* over all results, in order */
    double   seconds;
} pass;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A cache over the server, and the server's health. False when it cannot be used. */
static bool open_cache(const char *url, ckit_cache **cache) {
    char               prefix[48];
    ckit_log           silent = {.level = CKIT_LOG_OFF};
    ckit_backend_env   env = CKIT_BACKEND_ENV_INIT;
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    ckit_cache_options cache_options = CKIT_CACHE_OPTIONS_INIT;
    ckit_backend      *store = NULL;
    ckit_health        health;
    snprintf(prefix, sizeof prefix, "cachekit-tour:%ld:", (long)getpid());
    env.log = &silent;
    options.url = url;
    options.key_prefix = prefix;
    options.socket_connect_timeout_ms = PATIENCE_MS;
    cache_options.log = &silent;
    cache_options.default_ttl_ms = 60000;
    cache_options.lock = CKIT_OFF; /* nobody else computes this, and locks leave a counter behind */
    if (ckit_redis_open(&options, &env, &store, NULL) != CKIT_OK ||
        ckit_cache_new(&cache_options, store, cache, NULL) != CKIT_OK) {
        return false;
    }
    ckit_cache_health(*cache, &health);
    return health.healthy;
}

static void call(ckit_function *digest, const tour_file *file, pass *p) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_args_init(&args);
    ckit_args_bytes(&args, ckit_slice_str(file->path));
    ckit_args_uint(&args, file->size);
    ckit_args_int(&args, file->mtime_ns);
    p->failed += ckit_call(digest, &args, &value, NULL) != CKIT_OK;
    p->computed += value.source == CKIT_SOURCE_FUNCTION;
    p->from_server += value.source == CKIT_SOURCE_STORE;
    p->checksum = XXH3_64bits_withSeed(value.data.ptr, value.data.len, p->checksum);
    ckit_value_fini(&value);
    ckit_args_fini(&args);
}

static void print_row(const char *name, const pass *p, const pass *first, uint64_t calls) {
    double each_us = p->seconds * 1e6 / (double)(calls == 0 ? 1 : calls);
    printf("  %-20s %8" PRIu64 " %8" PRIu64 " %14.1f us %8.1fx\n", name, p->computed, p->from_server, each_us,
           first->seconds / p->seconds);
}

/* One pass with a memory of its own; the second removes what both have stored. */
static bool run_pass(const tour_files *files, size_t count, const char *url, bool last,
                     const volatile sig_atomic_t *stop, pass *p) {
    ckit_cache    *cache = NULL;
    ckit_function *digest = NULL;
    bool           fine = open_cache(url, &cache) &&
                ckit_function_new(cache, "tour.digest", tour_digest, NULL, NULL, &digest, NULL) == CKIT_OK;
    double start = now();
    for (size_t i = 0; fine && i < count && !*stop; i++) {
        call(digest, &files->files[i], p);
    }
    p->seconds = now() - start;
    ckit_function_close(digest);
    if (fine && (last || *stop)) {
        ckit_scope all = {.kind = CKIT_SCOPE_ALL};
        (void)ckit_cache_invalidate(cache, &all, NULL, NULL);
    }
    ckit_cache_close(cache);
    return fine;
}

bool tour_redis(const tour_files *files, const char *url, const volatile sig_atomic_t *stop) {
    size_t count = files->count < SOME_FILES ? files->count : SOME_FILES;
    pass   passes[2] = {{.failed = 0}};
    if (!run_pass(files, count, url, false, stop, &passes[0]) || !run_pass(files, count, url, true, stop, &passes[1])) {
        return true; /* nobody has promised a server */
    }
    if (*stop) {
        return false;
    }
    printf("\n  A Redis server answers on this machine, so %zu of the files once more over it:\n\n"
           "  %-20s %8s %8s %17s %9s\n",
           count, "pass, answers from:", "function", "Redis", "per call", "speed-up");
    print_row("first", &passes[0], &passes[0], count);
    print_row("with an empty memory", &passes[1], &passes[0], count);
    /* A file that changes meanwhile is another call, and no fault of the cache. */
    if (passes[0].failed + passes[1].failed == 0 &&
        (passes[1].from_server != count || passes[0].checksum != passes[1].checksum)) {
        fprintf(stderr, "The second pass over Redis is wrong: not every answer came from the server.\n");
        return false;
    }
    return true;
}
