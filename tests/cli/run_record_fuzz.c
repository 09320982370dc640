/* The record of a command's output. The input is the document in it, because a fuzzer does not find checksums. */
#include "run/answer.h"
#include "support/fuzz_input.h"
#include "support/stored.h"

#include <cachekit/buf.h>

static void check_pieces(const run_output *output) {
    const run_piece *pieces = (const run_piece *)(const void *)output->pieces.ptr;
    size_t           sum = 0;
    for (size_t i = 0; i < output->pieces.len / sizeof *pieces; i++) {
        check(pieces[i].stream == 1 || pieces[i].stream == 2);
        sum += pieces[i].length;
    }
    check(sum == output->bytes.len);
}

/* Whatever the record says, it has an age, a freshness and a rest of life, and survives being written again. */
static void check_answer(const run_answer *answer) {
    char                 command[] = "command";
    char *const          argv[] = {command, NULL};
    static const int64_t times[] = {INT64_MIN, 0, 1700000000000, INT64_MAX};
    const run_limits     limits = {60000, 60000, 60000};
    run_answer           again = RUN_ANSWER_INIT;
    ckit_buf             stored = CKIT_BUF_INIT;
    check(answer->status >= 0 && answer->status <= 255);
    check_pieces(&answer->output);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        (void)run_answer_freshness(answer, &limits, times[i] / 2);
        (void)run_answer_life(answer, times[i] / 2);
        (void)run_answer_age_ms(answer, times[i] / 2);
    }
    check(run_backoff_ms(answer->failures) >= 30000 && run_backoff_ms(answer->failures) <= 900000);
    check(run_answer_store(answer, argv, &stored, NULL) == CKIT_OK);
    check(run_answer_read(ckit_buf_slice(&stored), &again, NULL) == CKIT_OK);
    check(again.created_ms == answer->created_ms && again.status == answer->status);
    check(ckit_slice_equal(ckit_buf_slice(&again.output.bytes), ckit_buf_slice(&answer->output.bytes)));
    run_answer_fini(&again);
    ckit_buf_fini(&stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    run_answer answer = RUN_ANSWER_INIT;
    ckit_buf   stored = CKIT_BUF_INIT;
    check(cli_stored_seal(ckit_slice_of(data, size), &stored, NULL) == CKIT_OK);
    if (run_answer_read(ckit_buf_slice(&stored), &answer, NULL) == CKIT_OK) {
        check_answer(&answer);
    }
    run_answer_fini(&answer);
    ckit_buf_fini(&stored);
    answer = (run_answer)RUN_ANSWER_INIT;
    (void)run_answer_read(ckit_slice_of(data, size), &answer, NULL);
    run_answer_fini(&answer);
    return 0;
}
