/* Each request for memory fails in turn, in a cache over files with everything in use: calls give right values or say
 * that there is no memory, nothing leaks, and the cache goes on. And what has expired is freed without being asked
 * for. */
#include "over_files.h"

#include "support/failing_alloc.h"
#include "support/fake_clock.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* ---- each request fails ------------------------------------------------------------------------------------------ */

static void check_answer(ckit_status st) {
    CHECKF(st <= CKIT_MISS || st == CKIT_E_NO_MEMORY || st == CKIT_E_BUSY, "%s", ckit_status_name(st));
}

static void call_once(ckit_function *function, uint64_t number) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_args  args;
    ckit_args_init(&args);
    ckit_args_uint(&args, number);
    ckit_status st = ckit_call(function, &args, &value, NULL);
    CHECK(st == CKIT_E_NO_MEMORY || (st == CKIT_OK && files_is(value.data, number)));
    ckit_value_fini(&value);
    ckit_args_fini(&args);
}

static void entries_once(ckit_cache *cache) {
    ckit_value  values[2] = {CKIT_VALUE_INIT, CKIT_VALUE_INIT};
    ckit_status answers[2] = {CKIT_OK, CKIT_OK};
    ckit_slice  keys[2] = {S("a"), S("b")};
    uint64_t    life_ms = 0;
    check_answer(ckit_cache_set(cache, keys[0], S("value"), NULL, NULL));
    check_answer(ckit_cache_get(cache, keys[0], NULL, &values[0], NULL));
    ckit_value_fini(&values[0]);
    check_answer(ckit_cache_get_many(cache, keys, 2, NULL, values, answers, NULL));
    for (size_t i = 0; i < 2; i++) {
        check_answer(answers[i]);
        if (answers[i] == CKIT_OK) {
            CHECK_TEXT("value", values[i].data);
        }
        ckit_value_fini(&values[i]);
    }
    check_answer(ckit_cache_exists(cache, keys[0], NULL, NULL));
    check_answer(ckit_cache_ttl(cache, keys[0], NULL, &life_ms, NULL));
    check_answer(ckit_cache_touch(cache, keys[0], NULL, NULL));
    check_answer(ckit_cache_delete(cache, keys[0], NULL, NULL));
}

static ckit_status count_one(void *context, const ckit_listed *entry) {
    (void)entry;
    ++*(size_t *)context;
    return CKIT_OK;
}

static void scopes_once(ckit_cache *cache, ckit_function *function) {
    ckit_args    args;
    ckit_deleted deleted;
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    size_t       listed = 0;
    ckit_args_init(&args);
    ckit_args_uint(&args, 3);
    check_answer(ckit_refresh(function, &args, NULL, NULL));
    check_answer(ckit_invalidate(function, &args, NULL));
    ckit_args_fini(&args);
    check_answer(ckit_cache_list(cache, &all, count_one, &listed, NULL));
    check_answer(ckit_function_invalidate(function, &deleted, NULL));
}

static void on_ready(void *context, ckit_op *op, ckit_status answer) {
    (void)op;
    *(ckit_status *)context = answer;
}

static void wait_for(ckit_poll *loop, ckit_status *answer) {
    struct pollfd fd = {.fd = ckit_poll_fd(loop), .events = POLLIN};
    while (*answer == CKIT_PENDING) {
        CHECKF(poll(&fd, 1, 60000) > 0, "no answer in a minute");
        (void)ckit_poll_dispatch(loop);
    }
}

static void finish(ckit_op *op, ckit_poll *loop, ckit_status *answer, uint64_t number) {
    ckit_buf    document = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_writer_init(&w, &document);
    files_write(&w, number);
    CHECK_OK(ckit_writer_finish(&w, NULL));
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = ckit_buf_slice(&document)};
    *answer = CKIT_PENDING;
    ckit_status st = ckit_finish(op, &result, NULL, NULL);
    if (st == CKIT_PENDING) {
        wait_for(loop, answer);
    } else {
        *answer = st;
    }
    ckit_buf_fini(&document);
}

static void poll_once(ckit_cache *cache, ckit_function *function, uint64_t number) {
    ckit_poll  *loop = NULL;
    ckit_op    *op = NULL;
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status answer = CKIT_PENDING;
    ckit_args   args;
    if (ckit_poll_new(cache, &loop, NULL) != CKIT_OK) {
        return;
    }
    ckit_args_init(&args);
    ckit_args_uint(&args, number);
    ckit_start  start = {.struct_size = sizeof start,
                         .function = function,
                         .args = &args,
                         .poll = loop,
                         .ready = on_ready,
                         .context = &answer};
    ckit_status st = ckit_begin(&start, &op, &value, NULL);
    if (st == CKIT_PENDING) {
        wait_for(loop, &answer);
        st = answer;
    }
    if (st == CKIT_COMPUTE) {
        finish(op, loop, &answer, number);
        st = answer;
    }
    check_answer(st);
    if (st == CKIT_OK && op != NULL) {
        ckit_op_take(op, &value);
    }
    CHECK(st != CKIT_OK || files_is(value.data, number));
    ckit_op_free(op);
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    ckit_poll_close(loop);
}

/* The caller has rejected what was there. */
static void name_once(ckit_cache *cache) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *functions[2] = {NULL, NULL};
    ckit_value            value = CKIT_VALUE_INIT;
    ckit_op              *op = NULL;
    ckit_args             args;
    options.raw = options.custom_key = true;
    (void)ckit_function_new(cache, "story.one", NULL, NULL, &options, &functions[0], NULL);
    (void)ckit_function_new(cache, "story.other", NULL, NULL, &options, &functions[1], NULL);
    ckit_args_init(&args);
    ckit_args_cstr(&args, "name");
    (void)ckit_cache_set(cache, S("default:name"), S("damaged"), NULL, NULL);
    for (size_t i = 0; i < 4; i++) {
        ckit_start start = {
            .struct_size = sizeof start, .function = functions[i % 2], .args = &args, .rejected = S("damaged")};
        if (start.function != NULL) {
            ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("sound")};
            ckit_status st = ckit_begin(&start, &op, &value, NULL);
            st = st == CKIT_COMPUTE ? ckit_finish(op, &result, &value, NULL) : st;
            check_answer(st);
            ckit_op_free(op);
            ckit_value_fini(&value);
            check_answer(i < 2 ? CKIT_OK : ckit_invalidate(start.function, &args, NULL));
        }
    }
    check_answer(ckit_cache_delete(cache, S("default:name"), NULL, NULL));
    ckit_args_fini(&args);
    ckit_function_close(functions[0]);
    ckit_function_close(functions[1]);
}

static ckit_cache *open_failing(const char *dir, failing_alloc *fa) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_log           silent = {.level = CKIT_LOG_OFF};
    char               url[SCRATCH_PATH + 64];
    ckit_cache        *cache = NULL;
    options.alloc = &fa->alloc;
    options.log = &silent;
    snprintf(url, sizeof url, "file://%s?sync=none", dir);
    (void)ckit_cache_open(url, &options, &cache, NULL);
    return cache;
}

static bool rehearse(uint64_t fail_at) {
    char           dir[SCRATCH_PATH];
    failing_alloc  fa;
    ckit_function *function = NULL;
    failing_alloc_init(&fa, fail_at);
    scratch_make(dir);
    ckit_cache *cache = open_failing(dir, &fa);
    if (cache != NULL && ckit_function_new(cache, "story.load", files_load, NULL, NULL, &function, NULL) == CKIT_OK) {
        call_once(function, 3); /* tens of kilobytes, which do not fit into a buffer on the stack */
        call_once(function, 3);
        call_once(function, 4);
        poll_once(cache, function, 7);
        poll_once(cache, function, 3);
        entries_once(cache);
        scopes_once(cache, function);
        name_once(cache);
        if (failing_alloc_has_failed(&fa)) { /* only once: now it works */
            (void)files_call(function, 8);
            CHECK_EQ_U(CKIT_SOURCE_MEMORY, files_call(function, 8));
        }
        ckit_function_close(function);
    }
    ckit_cache_close(cache);
    failing_alloc_check_empty(&fa);
    scratch_remove(dir);
    return failing_alloc_has_failed(&fa);
}

CKIT_TEST(memory, each_request_may_fail_and_values_stay_right) {
    uint64_t n = 0;
    while (rehearse(n)) {
        n++;
        CHECK(n < 2000);
    }
    printf("%llu requests failed in turn\n", (unsigned long long)n);
    CHECK(n > 20);
}

/* ---- what has expired goes by itself ----------------------------------------------------------------------------- */

static void set_many(ckit_cache *cache, const char *prefix, unsigned count, const ckit_entry_options *options) {
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s %u", prefix, i);
        CHECK_OK(ckit_cache_set(cache, S(key), S("value"), options, NULL));
    }
}

/* The clock goes on in steps, as the sweeper looks at it whenever it is due. */
static void wait_until_left(ckit_cache *cache, fake_clock *time, uint64_t entries) {
    for (unsigned patience = 0; files_stats(cache).l1_entries > entries; patience++) {
        CHECKF(patience < 60000, "%llu entries are left", (unsigned long long)files_stats(cache).l1_entries);
        fake_clock_advance(time, 100);
        usleep(1000);
    }
    CHECK_EQ_U(entries, files_stats(cache).l1_entries);
}

CKIT_TEST(memory, of_what_has_expired_is_free_again_though_nobody_asks) {
    fake_clock         time;
    ckit_cache        *cache = NULL;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_entry_options brief = CKIT_ENTRY_OPTIONS_INIT;
    fake_clock_init(&time);
    options.clock = &time.clock;
    options.sweep_interval_ms = 10;
    brief.ttl_ms = 1000;
    CHECK_OK(ckit_cache_open("memory:", &options, &cache, NULL));
    set_many(cache, "brief", 4500, &brief);
    set_many(cache, "last", 1, &brief);
    set_many(cache, "long", 500, NULL);
    uint64_t used = files_stats(cache).l1_used_bytes;
    CHECK_EQ_U(5001, files_stats(cache).l1_entries);
    wait_until_left(cache, &time, 500);
    CHECK_EQ_U(4501, files_stats(cache).l1_expired);
    /* What a sweep takes out it gives back a moment later. When the next one has begun, that is over. */
    set_many(cache, "last", 1, &brief);
    wait_until_left(cache, &time, 500);
    set_many(cache, "brief", 4500, NULL); /* the same names, so that each shard gets as much as before */
    CHECK_EQ_U(5000, files_stats(cache).l1_entries);
    CHECK_EQ_U(0, files_stats(cache).l1_evicted);
    CHECK(files_stats(cache).l1_used_bytes <= used);
    ckit_cache_close(cache);
}

/* ---- what the system sees ---------------------------------------------------------------------------------------- */

static uint64_t resident_bytes(void) {
    unsigned long long pages = 0;
    FILE              *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL);
    CHECK_EQ_I(1, fscanf(file, "%*u %llu", &pages));
    (void)fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Three times the budget, in values whose sizes move from small to large and back. */
static void overfill(ckit_cache *cache, uint64_t budget) {
    static uint8_t bytes[60000];
    uint64_t       random = 88172645463325252u, written = 0;
    for (uint64_t i = 0; written < 3 * budget; i++) {
        uint64_t most = 20u << (written * 11 / budget % 12);
        char     key[40];
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t len = (size_t)(1 + random % most);
        snprintf(key, sizeof key, "key %llu", (unsigned long long)(random >> 40));
        CHECK_OK(ckit_cache_set(cache, S(key), ckit_slice_of(bytes, len), NULL, NULL));
        written += len + 60;
    }
}

CKIT_TEST(memory, that_the_process_takes_stays_within_a_tenth_of_the_budget) {
    if (UNDER_ASAN || UNDER_TSAN) {
        SKIP("a sanitizer's memory is counted too");
    }
    const uint64_t     budget = UINT64_C(64) << 20;
    ckit_cache        *cache = NULL;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.l1_max_bytes = budget;
    CHECK_OK(ckit_cache_open("memory:", &options, &cache, NULL));
    CHECK_OK(ckit_cache_set(cache, S("first"), S("value"), NULL, NULL));
    uint64_t before = resident_bytes();
    overfill(cache, budget);
    uint64_t growth = resident_bytes() - before;
    printf("%.1f MiB resident for a budget of %.1f MiB, %.1f MiB used\n", (double)growth / 1048576,
           (double)budget / 1048576, (double)files_stats(cache).l1_used_bytes / 1048576);
    CHECK(files_stats(cache).l1_evicted > 0);
    CHECK(files_stats(cache).l1_used_bytes <= budget);
    CHECK(growth <= budget + budget / 10);
    ckit_cache_close(cache);
}
