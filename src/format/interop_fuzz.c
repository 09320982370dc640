/* Interop mode from outside: the bytes are a document to check, to accept and to make canonical, and a program for the
 * builder of arguments. A slow second encoder, which sorts by comparing everything with everything, must agree. */
#include <cachekit/interop.h>

#include "support/fuzz_input.h"

#include <stdlib.h>

/* ---- the second encoder ---------------------------------------------------------------------------------- */

#define NAIVE_LIMIT 2048 /* bytes of input; it is cubic */
#define NAIVE_DEPTH 16

static bool naive_value(ckit_reader *r, ckit_writer *w, int depth);

/* Writes the entries of a map: always the smallest key that is greater than the last one. */
static bool naive_map(ckit_reader *r, ckit_writer *w, uint32_t pairs, int depth) {
    ckit_slice        *keys = calloc(pairs + 1, sizeof *keys), *values = calloc(pairs + 1, sizeof *values);
    ckit_slice         last = {NULL, 0};
    bool               right = keys != NULL && values != NULL;
    static const char *never = "";
    for (uint32_t i = 0; right && i < pairs; i++) {
        right = ckit_reader_peek(r) == CKIT_TYPE_STR;
        keys[i] = ckit_read_str(r);
        keys[i].ptr = keys[i].ptr == NULL ? (const uint8_t *)never : keys[i].ptr;
        values[i] = ckit_read_raw(r);
    }
    ckit_write_map(w, pairs);
    for (uint32_t written = 0; right && written < pairs; written++) {
        uint32_t best = pairs;
        for (uint32_t i = 0; i < pairs; i++) {
            const ckit_slice k = keys[i];
            for (int against = 0; against < 2; against++) {
                const ckit_slice other = against == 0 ? last : best < pairs ? keys[best] : (ckit_slice){NULL, 0};
                if (other.ptr == NULL) {
                    best = against == 1 && best == pairs ? i : best;
                    continue;
                }
                size_t at = 0;
                while (at < k.len && at < other.len && k.ptr[at] == other.ptr[at]) {
                    at++;
                }
                const bool less = at < other.len && (at == k.len || k.ptr[at] < other.ptr[at]);
                const bool same = at == other.len && at == k.len;
                if (against == 0 && (less || same)) {
                    break;
                }
                best = against == 1 && less ? i : best;
            }
        }
        right = best < pairs;
        if (right) {
            ckit_reader inner;
            last = keys[best];
            ckit_write_str(w, last);
            ckit_reader_init(&inner, values[best]);
            right = naive_value(&inner, w, depth + 1);
        }
    }
    free(keys);
    free(values);
    return right;
}

static bool naive_value(ckit_reader *r, ckit_writer *w, int depth) {
    if (depth > NAIVE_DEPTH) {
        return false;
    }
    switch (ckit_reader_peek(r)) {
    case CKIT_TYPE_NIL:
        ckit_read_nil(r);
        ckit_write_nil(w);
        return true;
    case CKIT_TYPE_BOOL: ckit_write_bool(w, ckit_read_bool(r)); return true;
    case CKIT_TYPE_INT: ckit_write_int(w, ckit_read_int(r)); return true;
    case CKIT_TYPE_UINT: ckit_write_uint(w, ckit_read_uint(r)); return true;
    case CKIT_TYPE_DOUBLE: {
        const double value = ckit_read_double(r);
        ckit_write_double(w, value);
        return value - value >= 0; /* neither NaN nor infinite */
    }
    case CKIT_TYPE_STR: ckit_write_str(w, ckit_read_str(r)); return true;
    case CKIT_TYPE_BIN: ckit_write_bin(w, ckit_read_bin(r)); return true;
    case CKIT_TYPE_ARRAY: {
        bool           right = true;
        const uint32_t count = ckit_read_array(r);
        ckit_write_array(w, count);
        for (uint32_t i = 0; right && i < count; i++) {
            right = naive_value(r, w, depth + 1);
        }
        return right;
    }
    case CKIT_TYPE_MAP: return naive_map(r, w, ckit_read_map(r), depth);
    default: return false;
    }
}

static uint32_t depth_of(ckit_slice document) {
    ckit_reader r;
    uint32_t    deepest = 0;
    ckit_reader_init(&r, document);
    while (r.status == CKIT_OK && r.pos < r.end) {
        const ckit_type type = ckit_reader_peek(&r);
        if (type == CKIT_TYPE_ARRAY) {
            (void)ckit_read_array(&r);
        } else if (type == CKIT_TYPE_MAP) {
            (void)ckit_read_map(&r);
        } else {
            ckit_read_skip(&r);
        }
        deepest = r.depth > deepest ? r.depth : deepest;
    }
    return deepest;
}

static void compare_with_naive(ckit_slice document, ckit_status status, ckit_slice canonical) {
    if (document.len > NAIVE_LIMIT || depth_of(document) >= NAIVE_DEPTH ||
        ckit_document_check(document, NULL) != CKIT_OK) {
        return;
    }
    ckit_buf    out = CKIT_BUF_INIT;
    ckit_reader r;
    ckit_writer w;
    ckit_reader_init(&r, document);
    ckit_writer_init(&w, &out);
    const bool written = naive_value(&r, &w, 0);
    const bool right = ckit_writer_finish(&w, NULL) == CKIT_OK && written;
    check(right == (status == CKIT_OK));
    check(!right || ckit_slice_equal(ckit_buf_slice(&out), canonical));
    ckit_buf_fini(&out);
}

/* ---- documents ------------------------------------------------------------------------------------------- */

static void check_value(ckit_slice document) {
    ckit_buf          out = CKIT_BUF_INIT;
    ckit_error        err = CKIT_ERROR_INIT;
    const ckit_status st = ckit_interop_value_normalise(document, &out, &err);
    const ckit_slice  canonical = ckit_buf_slice(&out);
    check(err.status == st);
    const bool is_canonical = ckit_interop_value_check(document, NULL) == CKIT_OK;
    const bool is_readable = ckit_interop_value_accept(document, NULL) == CKIT_OK;
    check(is_canonical == (st == CKIT_OK && ckit_slice_equal(document, canonical)));
    check(!is_readable || ckit_document_check(document, NULL) == CKIT_OK);
    if (st == CKIT_OK) {
        check(is_readable);
        check(ckit_interop_value_check(canonical, NULL) == CKIT_OK);
        check(ckit_interop_value_accept(canonical, NULL) == CKIT_OK);
    } else {
        check(out.len == 0);
    }
    compare_with_naive(document, st, canonical);
    ckit_buf_fini(&out);
}

static void read_everything(ckit_slice document) {
    ckit_reader r;
    ckit_reader_init(&r, document);
    for (int tokens = 0; tokens < 64 && r.status == CKIT_OK && r.pos < r.end; tokens++) {
        ckit_datetime   datetime;
        ckit_date       date;
        ckit_time       time;
        const uint8_t  *pos = r.pos;
        const ckit_type type = ckit_interop_peek(&r);
        check(r.status == CKIT_OK && r.pos == pos);
        switch (type) {
        case CKIT_TYPE_DATETIME: ckit_interop_read_datetime(&r, &datetime); break;
        case CKIT_TYPE_DATE: ckit_interop_read_date(&r, &date); break;
        case CKIT_TYPE_TIME: ckit_interop_read_time(&r, &time); break;
        case CKIT_TYPE_ARRAY: (void)ckit_read_array(&r); break;
        case CKIT_TYPE_MAP: (void)ckit_read_map(&r); break;
        default: ckit_read_skip(&r); break;
        }
        check(r.status == CKIT_OK || r.status == CKIT_E_DECODE || r.status == CKIT_E_TRUNCATED ||
              r.status == CKIT_E_DEPTH);
    }
}

/* ---- arguments ------------------------------------------------------------------------------------------- */

static void give_datetime(ckit_interop_args *args, fuzz_input *in) {
    const ckit_datetime value = {.year = (uint16_t)take_number(in),
                                 .month = take_byte(in),
                                 .day = take_byte(in),
                                 .hour = take_byte(in),
                                 .has_offset = take_byte(in) != 0,
                                 .microsecond = (uint32_t)take_number(in),
                                 .offset_seconds = (int32_t)take_number(in)};
    ckit_interop_args_datetime(args, &value);
}

static bool step(ckit_interop_args *args, fuzz_input *in) {
    static const uint8_t uuid[16] = {0xab, 1, 2, 3};
    if (in->p == in->end) {
        return false;
    }
    switch (take_byte(in) % 16) {
    case 0: return false;
    case 1: ckit_interop_args_nil(args); break;
    case 2: ckit_interop_args_bool(args, take_byte(in) % 2 != 0); break;
    case 3: ckit_interop_args_int(args, (int64_t)take_number(in)); break;
    case 4: ckit_interop_args_uint(args, take_number(in)); break;
    case 5: ckit_interop_args_double(args, take_double(in)); break;
    case 6: ckit_interop_args_double(args, (double)(int64_t)take_number(in)); break;
    case 7: ckit_interop_args_str(args, take_text(in, 40)); break;
    case 8: ckit_interop_args_bytes(args, take_text(in, 40)); break;
    case 9: ckit_interop_args_array(args, take_byte(in) % 20); break;
    case 10: ckit_interop_args_map(args, take_byte(in) % 20); break;
    case 11: ckit_interop_args_set(args, take_byte(in) % 20); break;
    case 12: give_datetime(args, in); break;
    case 13: ckit_interop_args_uuid(args, uuid); break;
    case 14: ckit_interop_args_integer(args, take_text(in, 40)); break;
    default: ckit_interop_args_document(args, take_text(in, 40)); break;
    }
    return true;
}

static void check_key(ckit_slice namespace_name, ckit_slice operation, ckit_slice packed) {
    ckit_interop_key_parts parts;
    ckit_buf               key = CKIT_BUF_INIT;
    if (ckit_interop_key(namespace_name, operation, packed, &key, NULL) == CKIT_OK) {
        check(key.len <= CKIT_INTEROP_KEY_MAX);
        check(ckit_interop_key_describe(ckit_buf_slice(&key), &parts));
        check(ckit_slice_equal(namespace_name, parts.namespace_name));
        check(ckit_slice_equal(operation, parts.operation));
    } else {
        check(key.len == 0);
    }
    (void)ckit_interop_key_describe(namespace_name, &parts);
    ckit_buf_fini(&key);
}

static void check_arguments(fuzz_input in) {
    ckit_interop_args args;
    ckit_slice        packed;
    ckit_error        err = CKIT_ERROR_INIT;
    ckit_interop_args_init(&args, NULL);
    while (step(&args, &in)) {}
    const ckit_status st = ckit_interop_args_pack(&args, &packed, &err);
    check(st == err.status);
    if (st == CKIT_OK) {
        check(ckit_interop_args_check(packed, NULL) == CKIT_OK);
        /* What is packed is a value too, and canonical. */
        check(ckit_interop_value_check(packed, NULL) == CKIT_OK);
        const ckit_slice namespace_name = take_text(&in, 40);
        check_key(namespace_name, take_text(&in, 40), packed);
    } else {
        check(packed.len == 0);
    }
    ckit_interop_args_fini(&args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_value(ckit_slice_of(data, size));
    read_everything(ckit_slice_of(data, size));
    check_arguments((fuzz_input){data, data + size});
    return 0;
}
