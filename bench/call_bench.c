/* A cached call that hits: the same integer each time, against the bare function. */
#include "bench.h"

#include <cachekit/cache.h>
#include <cachekit/document.h>
#include <cachekit/function.h>
#include <cachekit/value.h>
#include <stdlib.h>

static __attribute__((noinline)) int64_t twice(int64_t x) {
    __asm__ volatile("" : "+r"(x));
    return 2 * x;
}

static ckit_status load_twice(void *context, ckit_load *load, ckit_error *err) {
    ckit_reader args;
    (void)context, (void)err;
    ckit_args_positional(load->args, &args);
    ckit_write_int(load->result, twice(ckit_read_int(&args)));
    return CKIT_OK;
}

typedef struct setting {
    ckit_cache    *cache;
    ckit_function *function;
} setting;

static void open_setting(setting *s) {
    if (ckit_cache_new(NULL, NULL, &s->cache, NULL) != CKIT_OK ||
        ckit_function_new(s->cache, "bench.twice", load_twice, NULL, NULL, &s->function, NULL) != CKIT_OK) {
        abort();
    }
}

static void close_setting(setting *s) {
    ckit_function_close(s->function);
    ckit_cache_close(s->cache);
}

/* All that a program does for one call: arguments, the call, reading the answer, giving it back. */
static void call_cached(void *context, unsigned thread, uint64_t operations) {
    setting *s = context;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        int64_t    result = 0;
        ckit_value value;
        ckit_args  args;
        ckit_args_init(&args);
        ckit_args_int(&args, 21);
        ckit_value_init(&value);
        if (ckit_call(s->function, &args, &value, NULL) != CKIT_OK ||
            ckit_document_int(value.data, &result, NULL) != CKIT_OK || result != 42) {
            abort();
        }
        bench_keep((uint64_t)result);
        ckit_value_fini(&value);
        ckit_args_fini(&args);
    }
}

static void call_bare(void *context, unsigned thread, uint64_t operations) {
    (void)context, (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        bench_keep((uint64_t)twice(21));
    }
}

static void count_calls(uint64_t operations) {
    setting s;
    open_setting(&s);
    call_cached(&s, 0, operations);
    close_setting(&s);
}

BENCH_FAMILY(call) {
    setting s;
    bench_counted(b, "call.hit", count_calls);
    if (bench_is_counting(b)) {
        return;
    }
    open_setting(&s);
    bench_work works[] = {{.name = "bare function", .run = call_bare, .threads = 1},
                          {.name = "ckit_call", .run = call_cached, .context = &s, .threads = 1}};
    bench_run(b, works, 2);
    bench_row_plain(b, "call.hit", works[1].median, "ns", "bare function", works[0].median);
    close_setting(&s);
}
