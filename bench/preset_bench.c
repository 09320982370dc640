/* A hit in memory of a call whose value has 64 bytes: with everything that a program in production turns on, against
 * the least there is. And what sealing adds to the former with 1 KB. */
#include "bench.h"
#include "document.h"

#include <cachekit/cache.h>
#include <cachekit/ext/backend.h>
#include <cachekit/function.h>
#include <cachekit/guard.h>
#include <cachekit/seal.h>
#include <cachekit/value.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES 64u
#define SEALED_BYTES 1024u

/* ---- a store that keeps nothing, and vouches for that ------------------------------------------------------------ */

static const ckit_watch_sink *sink;

static ckit_status no_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                          ckit_error *err) {
    (void)self, (void)key, (void)deadline_ms, (void)out, (void)life_ms, (void)err;
    return CKIT_MISS;
}

static ckit_status no_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                          uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)value, (void)info, (void)deadline_ms, (void)err;
    return CKIT_OK;
}

static ckit_status no_key(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)deadline_ms, (void)err;
    return CKIT_MISS;
}

static void no_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    (void)self, (void)deadline_ms;
    memset(out, 0, sizeof *out);
}

static ckit_status watch(void *self, const ckit_watch_sink *given, ckit_error *err) {
    (void)self, (void)err;
    sink = given;
    return CKIT_OK;
}

static void no_close(void *self) { (void)self; }

static const ckit_backend_ops no_ops = {.abi = CKIT_BACKEND_ABI,
                                        .name = "nothing",
                                        .get = no_get,
                                        .set = no_set,
                                        .remove = no_key,
                                        .exists = no_key,
                                        .health = no_health,
                                        .close = no_close,
                                        .watch = watch};

/* ---- the settings ------------------------------------------------------------------------------------------------ */

typedef struct setting {
    ckit_cache    *cache;
    ckit_function *function;
} setting;

static void require(ckit_status st) {
    if (st != CKIT_OK) {
        abort();
    }
}

static ckit_status load_answer(void *context, ckit_load *load, ckit_error *err) {
    static const uint8_t answer[VALUE_BYTES];
    (void)context, (void)err;
    ckit_write_bin(load->result, ckit_slice_of(answer, sizeof answer));
    return CKIT_OK;
}

static ckit_status load_records(void *context, ckit_load *load, ckit_error *err) {
    ckit_buf records = CKIT_BUF_INIT;
    (void)context, (void)err;
    bench_document(&records, SEALED_BYTES, 1);
    ckit_write_bin(load->result, ckit_buf_slice(&records));
    ckit_buf_fini(&records);
    return CKIT_OK;
}

static void call(void *context, unsigned thread, uint64_t operations) {
    setting *s = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        ckit_value value;
        ckit_args  args;
        ckit_args_init(&args);
        ckit_args_int(&args, 21);
        ckit_value_init(&value);
        require(ckit_call(s->function, &args, &value, NULL));
        bench_keep(value.data.len);
        ckit_value_fini(&value);
        ckit_args_fini(&args);
    }
}

/* Memory alone, without check or compression of what is stored. */
static setting open_minimal(void) {
    setting            s;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.integrity = CKIT_OFF;
    require(ckit_cache_new(&options, NULL, &s.cache, NULL));
    require(ckit_function_new(s.cache, "bench.answer", load_answer, NULL, NULL, &s.function, NULL));
    call(&s, 0, 1);
    return s;
}

/* A guarded store that tells of changes, integrity, the store's lock, serving stale, early refresh, sliding
 * expiration. */
static setting open_production(ckit_loader loader, ckit_keyring *ring) {
    setting               s;
    ckit_backend         *store;
    ckit_cache_options    options = CKIT_CACHE_OPTIONS_INIT;
    ckit_function_options function = CKIT_FUNCTION_OPTIONS_INIT;
    options.integrity = options.lock = options.coherence = options.store_optional = CKIT_ON;
    options.keyring = ring;
    options.encryption = ring != NULL ? CKIT_ON : CKIT_OFF;
    function.namespace_name = "bench";
    function.ttl_ms = 3600000;
    function.stale_ms = 600000;
    function.early_refresh = 0.9;
    function.renew_below = 0.5;
    require(ckit_backend_new(&no_ops, NULL, NULL, &store, NULL));
    require(ckit_backend_guard(store, NULL, NULL, &store, NULL));
    require(ckit_cache_new(&options, store, &s.cache, NULL));
    require(ckit_function_new(s.cache, "bench.answer", loader, NULL, &function, &s.function, NULL));
    sink->guarded(sink->self, CKIT_GUARDS_READS | CKIT_GUARDS_WRITES);
    call(&s, 0, 1);
    return s;
}

static void close_setting(setting *s) {
    ckit_function_close(s->function);
    ckit_cache_close(s->cache);
}

static void count_production(uint64_t operations) {
    setting s = open_production(load_answer, NULL);
    call(&s, 0, operations);
    close_setting(&s);
}

static void count_minimal(uint64_t operations) {
    setting s = open_minimal();
    call(&s, 0, operations);
    close_setting(&s);
}

static ckit_keyring *open_ring(void) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring;
    options.master_key_hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    require(ckit_keyring_open(&options, &ring, NULL));
    return ring;
}

static void count_secure(uint64_t operations) {
    ckit_keyring *ring = open_ring();
    setting       s = open_production(load_records, ring);
    call(&s, 0, operations);
    close_setting(&s);
    ckit_keyring_close(ring);
}

static void count_clear(uint64_t operations) {
    setting s = open_production(load_records, NULL);
    call(&s, 0, operations);
    close_setting(&s);
}

static void require_hits(const setting *s) {
    ckit_cache_stats stats = CKIT_CACHE_STATS_INIT;
    ckit_cache_get_stats(s->cache, &stats);
    if (stats.l1_misses > 2) {
        fprintf(stderr, "preset: these were no hits\n");
        exit(1);
    }
}

static void measure_production(bench *b) {
    setting    minimal = open_minimal(), production = open_production(load_answer, NULL);
    bench_work works[] = {{.name = "minimal", .run = call, .context = &minimal, .threads = 1},
                          {.name = "production", .run = call, .context = &production, .threads = 1}};
    bench_run(b, works, 2);
    bench_row_at_most(b, "preset.production", works[1].median, "ns", "minimal", works[0].median, 1.1);
    require_hits(&production);
    close_setting(&production);
    close_setting(&minimal);
}

static void measure_secure(bench *b) {
    ckit_keyring *ring = open_ring();
    setting       production = open_production(load_records, NULL), secure = open_production(load_records, ring);
    bench_work    works[] = {{.name = "production", .run = call, .context = &production, .threads = 1},
                             {.name = "secure", .run = call, .context = &secure, .threads = 1}};
    bench_run(b, works, 2);
    bench_row_added(b, "secure.l1.1k", works[1].median / 1e3, "us", "production", works[0].median / 1e3, 1.5);
    require_hits(&production);
    require_hits(&secure);
    close_setting(&secure);
    close_setting(&production);
    ckit_keyring_close(ring);
}

BENCH_FAMILY(preset) {
    bench_counted(b, "preset.production", count_production);
    bench_counted(b, "preset.minimal", count_minimal);
    bench_counted(b, "secure.l1.1k", count_secure);
    bench_counted(b, "production.l1.1k", count_clear);
    if (bench_is_counting(b)) {
        return;
    }
    measure_production(b);
    measure_secure(b);
}
