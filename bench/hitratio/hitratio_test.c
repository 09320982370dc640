#include "support/test.h"
#include "traces.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Runs `model` over a short trace of digits and compares which accesses hit: one character an access, H or - . */
static void check_trace(const hitratio_model *model, size_t capacity, const char *keys, const char *expected) {
    uint32_t numbers[64];
    char     got[64] = {0};
    size_t   len = strlen(keys);
    CHECK_EQ_U(len, strlen(expected));
    for (size_t i = 0; i < len; i++) {
        numbers[i] = (uint32_t)(keys[i] - '0');
    }
    hitratio_trace trace = {numbers, len, 10};
    void          *self = model->open(&trace, capacity);
    for (size_t i = 0; i < len; i++) {
        got[i] = model->access(self, numbers[i]) ? 'H' : '-';
    }
    model->close(self);
    CHECK_STR(expected, got);
}

CKIT_TEST(models, fifo_forgets_the_oldest_even_when_it_was_used) {
    check_trace(&hitratio_fifo, 3, "0120310", "---H-H-");
}

CKIT_TEST(models, lru_forgets_what_was_not_used_for_longest) { check_trace(&hitratio_lru, 3, "0120310", "---H--H"); }

CKIT_TEST(models, opt_forgets_what_will_be_used_last) { check_trace(&hitratio_opt, 3, "0120310", "---H-HH"); }

/* A1in 1, A1out 2: 0 and 1 come back from A1out into Am; 6 drives 0 out of Am once A1in is small. */
CKIT_TEST(models, two_q_admits_to_its_lru_what_comes_back_while_remembered) {
    check_trace(&hitratio_two_q, 4, "0123405014360", "-------H-H---");
}

/* 1 comes back from B1 and moves T1's aim to 1, so T2 gives 0 up; 0 comes back from B2 and moves it to 0 again. */
CKIT_TEST(models, arc_moves_its_aim_by_what_comes_back) { check_trace(&hitratio_arc, 2, "010212021", "--H--H-H-"); }

/* Two LIR keys, one HIR. 2 comes back while 1 is still older in the stack: 1 becomes HIR and is hit in the queue. */
CKIT_TEST(models, lirs_prefers_the_key_with_the_shorter_distance) {
    check_trace(&hitratio_lirs, 3, "012032130", "---H--H-H");
}

/* 0 has two hits when it leaves the small queue; 1 and 2 come back while they are remembered. */
CKIT_TEST(models, s3_fifo_promotes_hit_and_remembered_keys) {
    check_trace(&hitratio_s3_fifo, 4, "012300415012", "----HH---HH-");
}

/* 3 and 4 lose against 1 by a draw; on its second round 3 has been seen twice and 1 has to go. */
CKIT_TEST(models, w_tinylfu_admits_only_what_was_seen_more_often) {
    check_trace(&hitratio_w_tinylfu, 4, "0123043531", "----H---H-");
}

CKIT_TEST(models, every_model_keeps_what_fits) {
    hitratio_trace trace = trace_loop(200);
    CHECK_EQ_U(trace.len - 200, hitratio_hits(&hitratio_ckit, &trace, 200));
    CHECK_EQ_U(trace.len - 200, hitratio_hits(&hitratio_opt, &trace, 200));
    CHECK_EQ_U(trace.len - 200, hitratio_hits(&hitratio_lru, &trace, 200));
    CHECK_EQ_U(trace.len - 200, hitratio_hits(&hitratio_s3_fifo, &trace, 200));
    trace_free(&trace);
}

CKIT_TEST(models, a_cache_of_one_entry_works_in_every_model) {
    uint32_t       keys[] = {1, 1, 2, 2, 1, 3, 3, 3};
    hitratio_trace trace = {keys, sizeof keys / sizeof keys[0], 4};
    for (size_t i = 0; i < HITRATIO_REFERENCES; i++) {
        CHECK_BETWEEN_U(1, 4, hitratio_hits(hitratio_references[i], &trace, 1));
    }
    CHECK_EQ_U(4, hitratio_hits(&hitratio_ckit, &trace, 1));
    CHECK_EQ_U(4, hitratio_hits(&hitratio_opt, &trace, 1));
}

CKIT_TEST(models, nothing_hits_more_often_than_opt) {
    hitratio_trace trace = trace_zipf(0.99);
    trace.len = 50000;
    size_t best = hitratio_hits(&hitratio_opt, &trace, 1000);
    CHECK_BETWEEN_U(1, best, hitratio_hits(&hitratio_ckit, &trace, 1000));
    for (size_t i = 0; i < HITRATIO_REFERENCES; i++) {
        CHECK_BETWEEN_U(1, best, hitratio_hits(hitratio_references[i], &trace, 1000));
    }
    trace_free(&trace);
}

CKIT_TEST(policy, keeps_most_of_a_loop_that_is_longer_than_the_cache) {
    hitratio_trace trace = trace_loop(1200);
    size_t         ceiling = hitratio_hits(&hitratio_opt, &trace, 1000);
    CHECK_BETWEEN_U(ceiling * 95 / 100, ceiling, hitratio_hits(&hitratio_ckit, &trace, 1000));
    trace_free(&trace);
}

static void write_file(const char *path, const void *bytes, size_t len) {
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK_EQ_U(len, fwrite(bytes, 1, len, file));
    CHECK_EQ_I(0, fclose(file));
}

CKIT_TEST(traces, a_text_file_has_one_key_a_line) {
    char path[] = "hitratio-trace-XXXXXX";
    int  fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_EQ_I(0, close(fd));
    write_file(path, "apple\npear\r\napple\n\npear", 23);
    hitratio_trace trace;
    CHECK(trace_read(path, &trace));
    CHECK_EQ_I(0, remove(path));
    CHECK_EQ_U(5, trace.len);
    CHECK_EQ_U(3, trace.universe);
    CHECK_EQ_U(0, trace.keys[2]);
    CHECK_EQ_U(2, trace.keys[3]);
    CHECK_EQ_U(1, trace.keys[4]);
    trace_free(&trace);
}

CKIT_TEST(traces, a_missing_file_is_no_trace) {
    hitratio_trace trace;
    CHECK(!trace_read("there-is-no-such-trace", &trace));
}

CKIT_TEST(traces, the_scan_trace_scans_keys_once) {
    hitratio_trace trace = trace_scan();
    uint8_t       *seen = calloc(trace.universe, 1);
    CHECK(seen != NULL);
    for (size_t i = 0; i < trace.len; i++) {
        if (trace.keys[i] >= TRACES_KEYS) {
            CHECK_EQ_U(0, seen[trace.keys[i]]);
        }
        seen[trace.keys[i]] = 1;
    }
    free(seen);
    trace_free(&trace);
}
