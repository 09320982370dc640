#include "run/answer.h"

#include "support/stored.h"

#include <cachekit/buf.h>
#include <cachekit/document.h>
#include <cachekit/envelope.h>

#define RECORD_MARK "cachekit.run"
#define RECORD_VERSION 1
#define SLACK_MS 2000 /* clocks of one machine agree within this; beyond it a record comes from the future */

/* ---- output ------------------------------------------------------------------------------------------------- */

static run_piece *last_piece(const run_output *output) {
    size_t count = output->pieces.len / sizeof(run_piece);
    return count == 0 ? NULL : (run_piece *)(void *)output->pieces.ptr + (count - 1);
}

ckit_status run_output_add(run_output *output, int stream, ckit_slice bytes) {
    if (bytes.len == 0) {
        return CKIT_OK; /* nothing was said */
    }
    run_piece  *last = last_piece(output);
    ckit_status st = ckit_buf_append(&output->bytes, bytes);
    if (st == CKIT_OK && last != NULL && last->stream == stream && bytes.len <= UINT32_MAX - last->length) {
        last->length += (uint32_t)bytes.len;
        return CKIT_OK;
    }
    if (st == CKIT_OK) {
        run_piece piece = {.stream = (uint8_t)stream, .length = (uint32_t)bytes.len};
        st = ckit_buf_append(&output->pieces, ckit_slice_of(&piece, sizeof piece));
    }
    return st;
}

void run_output_fini(run_output *output) {
    ckit_buf_fini(&output->bytes);
    ckit_buf_fini(&output->pieces);
}

void run_answer_fini(run_answer *answer) { run_output_fini(&answer->output); }

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void write_output(ckit_writer *w, const run_output *output) {
    const run_piece *pieces = (const run_piece *)(const void *)output->pieces.ptr;
    size_t           count = output->pieces.len / sizeof *pieces;
    const uint8_t   *at = output->bytes.ptr;
    ckit_write_array(w, (uint32_t)(2 * count));
    for (size_t i = 0; i < count; i++) {
        ckit_write_uint(w, pieces[i].stream);
        ckit_write_bin(w, ckit_slice_of(at, pieces[i].length));
        at += pieces[i].length;
    }
}

static void write_time(ckit_writer *w, const char *name, int64_t ms) {
    ckit_write_cstr(w, name);
    ckit_write_int(w, ms);
}

/* Words that are not UTF-8 are bytes. */
static void write_words(ckit_writer *w, char *const *argv) {
    uint32_t count = 0;
    while (argv[count] != NULL) {
        count++;
    }
    ckit_write_array(w, count);
    for (uint32_t i = 0; i < count; i++) {
        ckit_slice word = ckit_slice_str(argv[i]);
        if (ckit_utf8_valid(word)) {
            ckit_write_str(w, word);
        } else {
            ckit_write_bin(w, word);
        }
    }
}

static ckit_status write_document(const run_answer *answer, char *const *argv, ckit_buf *out, ckit_error *err) {
    ckit_writer w;
    ckit_writer_init(&w, out);
    ckit_write_map(&w, 11);
    ckit_write_cstr(&w, RECORD_MARK);
    ckit_write_uint(&w, RECORD_VERSION);
    ckit_write_cstr(&w, "command");
    write_words(&w, argv);
    ckit_write_cstr(&w, "status");
    ckit_write_int(&w, answer->status);
    write_time(&w, "created_ms", answer->created_ms);
    ckit_write_cstr(&w, "ttl_ms");
    if (answer->ttl_ms == CKIT_TTL_NO_EXPIRY) {
        ckit_write_nil(&w);
    } else {
        ckit_write_uint(&w, answer->ttl_ms);
    }
    ckit_write_cstr(&w, "stale_ms");
    ckit_write_uint(&w, answer->stale_ms);
    ckit_write_cstr(&w, "failures");
    ckit_write_uint(&w, answer->failures);
    ckit_write_cstr(&w, "failed_status");
    ckit_write_int(&w, answer->failed_status);
    write_time(&w, "failed_ms", answer->failed_ms);
    write_time(&w, "retry_ms", answer->retry_ms);
    ckit_write_cstr(&w, "output");
    if (answer->has_output) {
        write_output(&w, &answer->output);
    } else {
        ckit_write_nil(&w);
    }
    return ckit_writer_finish(&w, err);
}

ckit_status run_answer_store(const run_answer *answer, char *const *argv, ckit_buf *out, ckit_error *err) {
    ckit_buf    document = CKIT_BUF_INIT;
    ckit_status st = write_document(answer, argv, &document, err);
    if (st == CKIT_OK) {
        st = cli_stored_seal(ckit_buf_slice(&document), out, err);
    }
    ckit_buf_fini(&document);
    return st;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static void read_output(ckit_reader *r, run_answer *answer) {
    if (ckit_reader_peek(r) == CKIT_TYPE_NIL) {
        ckit_read_nil(r);
        return;
    }
    uint32_t count = ckit_read_array(r);
    for (uint32_t i = 0; i + 1 < count; i += 2) {
        uint64_t   stream = ckit_read_uint(r);
        ckit_slice bytes = ckit_read_bin(r);
        if (stream != 1 && stream != 2) {
            ckit_reader_fail(r, CKIT_E_DECODE, "a stream that is neither 1 nor 2");
        } else if (run_output_add(&answer->output, (int)stream, bytes) != CKIT_OK) {
            ckit_reader_fail(r, CKIT_E_NO_MEMORY, "out of memory");
        }
    }
    if (count % 2 != 0) {
        ckit_reader_fail(r, CKIT_E_DECODE, "a stream without bytes");
    }
    answer->has_output = true;
}

static uint64_t read_lifetime(ckit_reader *r) {
    if (ckit_reader_peek(r) == CKIT_TYPE_NIL) {
        ckit_read_nil(r);
        return CKIT_TTL_NO_EXPIRY;
    }
    uint64_t ms = ckit_read_uint(r);
    if (ms > CKIT_TTL_MAX_MS) {
        ckit_reader_fail(r, CKIT_E_DECODE, "a lifetime above ten years");
    }
    return ms;
}

static int read_status(ckit_reader *r) {
    int64_t status = ckit_read_int(r);
    if (status < 0 || status > 255) {
        ckit_reader_fail(r, CKIT_E_DECODE, "an exit code outside 0 to 255");
    }
    return (int)status;
}

static bool is(ckit_slice name, const char *text) { return ckit_slice_equal(name, ckit_slice_str(text)); }

static void read_member(ckit_reader *r, run_answer *answer, uint64_t *version) {
    ckit_slice name = ckit_read_str(r);
    if (is(name, RECORD_MARK)) {
        *version = ckit_read_uint(r);
    } else if (is(name, "status")) {
        answer->status = read_status(r);
    } else if (is(name, "created_ms")) {
        answer->created_ms = ckit_read_int(r);
    } else if (is(name, "ttl_ms")) {
        answer->ttl_ms = read_lifetime(r);
    } else if (is(name, "stale_ms")) {
        answer->stale_ms = read_lifetime(r);
    } else if (is(name, "failures")) {
        answer->failures = ckit_read_uint(r);
    } else if (is(name, "failed_status")) {
        answer->failed_status = read_status(r);
    } else if (is(name, "failed_ms")) {
        answer->failed_ms = ckit_read_int(r);
    } else if (is(name, "retry_ms")) {
        answer->retry_ms = ckit_read_int(r);
    } else if (is(name, "output")) {
        read_output(r, answer);
    } else {
        ckit_read_skip(r);
    }
}

static ckit_status read_document(ckit_slice document, run_answer *answer, ckit_error *err) {
    uint64_t    version = 0;
    ckit_reader r;
    ckit_reader_init(&r, document);
    for (uint32_t left = ckit_read_map(&r); left > 0; left--) {
        read_member(&r, answer, &version);
    }
    ckit_status st = ckit_reader_finish(&r, err);
    if (st == CKIT_OK && version != RECORD_VERSION) {
        st = ckit_fail(err, CKIT_E_DECODE, "run", "the entry is no output of a command that this version knows");
    }
    return st;
}

ckit_status run_answer_read(ckit_slice stored, run_answer *answer, ckit_error *err) {
    ckit_buf    document = CKIT_BUF_INIT;
    ckit_buf    scratch = CKIT_BUF_INIT;
    ckit_frame  frame;
    ckit_status st = ckit_frame_parse(stored, &frame, &scratch, err);
    if (st == CKIT_OK && (frame.encrypted || !frame.compressed)) {
        st = ckit_fail(err, CKIT_E_DECODE, "run", "the entry is no output of a command");
    }
    if (st == CKIT_OK) {
        st = ckit_envelope_open(frame.payload, NULL, &document, NULL, err);
    }
    if (st == CKIT_OK) {
        st = read_document(ckit_buf_slice(&document), answer, err);
    }
    ckit_buf_fini(&document);
    ckit_buf_fini(&scratch);
    return st;
}

/* ---- freshness ---------------------------------------------------------------------------------------------- */

static uint64_t shorter(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* CKIT_TTL_NO_EXPIRY is the largest number, so it is never the shorter one, and plus anything stays it. */
static uint64_t longest_age(uint64_t ttl_ms, uint64_t stale_ms) {
    return ttl_ms == CKIT_TTL_NO_EXPIRY ? ttl_ms : ttl_ms + stale_ms;
}

/* A stored time may be any number. */
uint64_t run_answer_age_ms(const run_answer *answer, int64_t now_ms) {
    return answer->created_ms > now_ms ? 0 : (uint64_t)now_ms - (uint64_t)answer->created_ms;
}

run_freshness run_answer_freshness(const run_answer *answer, const run_limits *limits, int64_t now_ms) {
    if (answer->created_ms > now_ms + SLACK_MS) {
        return RUN_FUTURE;
    }
    bool     failed = answer->status != 0;
    uint64_t ttl = failed ? limits->failures_ms : limits->ttl_ms;
    uint64_t stale = failed ? 0 : limits->stale_ms;
    uint64_t age = run_answer_age_ms(answer, now_ms);
    if (age < shorter(answer->ttl_ms, ttl)) {
        return RUN_FRESH;
    }
    return age < shorter(longest_age(answer->ttl_ms, answer->stale_ms), longest_age(ttl, stale)) ? RUN_STALE
                                                                                                 : RUN_EXPIRED;
}

uint64_t run_answer_life(const run_answer *answer, int64_t now_ms) {
    uint64_t whole = longest_age(answer->ttl_ms, answer->stale_ms);
    uint64_t age = run_answer_age_ms(answer, now_ms);
    if (whole == CKIT_TTL_NO_EXPIRY) {
        return whole;
    }
    return age < whole ? whole - age : 0;
}

uint64_t run_backoff_ms(uint64_t failures) {
    uint64_t wait = 30000;
    for (uint64_t i = 1; i < failures && wait < 900000; i++) {
        wait *= 2;
    }
    return shorter(wait, 900000);
}
