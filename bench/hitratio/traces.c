#include "traces.h"

#include "bench/zipf.h"

#include <stdio.h>
#include <stdlib.h>

/* Ranks by Zipf's law. */
typedef struct zipf {
    cli_zipf law;
    uint64_t random;
} zipf;

static zipf zipf_make(double alpha, uint64_t seed) {
    zipf z = {.random = seed};
    cli_zipf_init(&z.law, TRACES_KEYS, alpha);
    return z;
}

static uint32_t zipf_next(zipf *z) { return (uint32_t)cli_zipf_next(&z->law, &z->random); }

static hitratio_trace make(uint32_t **keys, size_t len, uint32_t universe) {
    *keys = model_alloc(len, sizeof **keys);
    return (hitratio_trace){*keys, len, universe};
}

hitratio_trace trace_zipf(double alpha) {
    uint32_t      *keys;
    hitratio_trace trace = make(&keys, TRACES_LEN, TRACES_KEYS);
    zipf           z = zipf_make(alpha, 1);
    for (size_t i = 0; i < trace.len; i++) {
        keys[i] = zipf_next(&z);
    }
    return trace;
}

hitratio_trace trace_loop(uint32_t keys_in_loop) {
    size_t         len = (size_t)keys_in_loop * 20;
    uint32_t      *keys;
    hitratio_trace trace = make(&keys, len > TRACES_LEN / 4 ? len : TRACES_LEN / 4, keys_in_loop);
    for (size_t i = 0; i < trace.len; i++) {
        keys[i] = (uint32_t)(i % keys_in_loop);
    }
    return trace;
}

hitratio_trace trace_scan(void) {
    enum { USEFUL = 40000, SCAN = 20000 };
    uint32_t      *keys, fresh = TRACES_KEYS;
    hitratio_trace trace = make(&keys, TRACES_LEN, TRACES_KEYS + TRACES_LEN / 2);
    zipf           z = zipf_make(0.99, 2);
    for (size_t i = 0; i < trace.len; i++) {
        keys[i] = i % (USEFUL + SCAN) < USEFUL ? zipf_next(&z) : fresh++;
    }
    trace.universe = fresh;
    return trace;
}

hitratio_trace trace_moving(void) {
    enum { STEP = 20 };
    uint32_t      *keys;
    hitratio_trace trace = make(&keys, TRACES_LEN, TRACES_KEYS + TRACES_LEN / STEP);
    zipf           z = zipf_make(0.99, 3);
    for (size_t i = 0; i < trace.len; i++) {
        keys[i] = TRACES_KEYS - 1 + (uint32_t)(i / STEP) - zipf_next(&z);
    }
    return trace;
}

hitratio_trace trace_phases(void) {
    enum { PHASE = 200000 };
    uint32_t      *keys;
    hitratio_trace trace = make(&keys, TRACES_LEN, TRACES_KEYS);
    zipf           z = zipf_make(0.99, 4);
    for (size_t i = 0; i < trace.len; i++) {
        uint64_t phase = i / PHASE;
        uint64_t key = (zipf_next(&z) * UINT64_C(7919) + phase * 33331u) % TRACES_KEYS; /* 7919 is prime: one to one */
        keys[i] = (uint32_t)key;
    }
    return trace;
}

void trace_free(hitratio_trace *trace) {
    free((void *)(uintptr_t)trace->keys);
    trace->keys = NULL;
}
