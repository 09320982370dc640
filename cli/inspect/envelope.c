#include "inspect/block.h"
#include "inspect/layers.h"

#include "support/output.h"
#include "support/stored.h"

#include <cachekit/envelope.h>
#include <cachekit/msgpack.h>
#include <inttypes.h>
#include <stdio.h>

enum field { BLOCK, CHECKSUM, SIZE, FORMAT };
#define FIELDS 4
#define ALL_FIELDS ((1U << FIELDS) - 1)

static const char *const field_names[FIELDS] = {"compressed_data", "checksum", "original_size", "format"};
static const char *const field_types[FIELDS] = {"bytes, or an array of integers up to 255",
                                                "an array of 8 integers up to 255", "an integer up to 2^32-1", "text"};

/* An envelope taken apart. */
typedef struct envelope {
    inspect_part part;
    bool         map;
    unsigned     seen; /* bits of fields */
    size_t       at[FIELDS];
    ckit_slice   raw[FIELDS]; /* the fields' values as MessagePack */
    ckit_slice   block;
    ckit_buf     gathered; /* the block of the old form, an array of integers */
    bool         old_form;
    uint64_t     checksum;
    uint64_t     size;
    ckit_slice   format;
    size_t       end;
} envelope;

/* ---- structure ---------------------------------------------------------------------------------------------- */

static bool failed(const ckit_reader *r, ckit_error *err) {
    ckit_status st = ckit_reader_finish(r, err);
    return st != CKIT_OK && st != CKIT_E_TRAILING;
}

static bool to_byte(ckit_reader *r, uint8_t *byte) {
    uint64_t value = ckit_reader_peek(r) == CKIT_TYPE_UINT ? ckit_read_uint(r) : 256;
    *byte = (uint8_t)value;
    return value <= 255;
}

static bool gather(ckit_reader *r, ckit_buf *out) {
    uint32_t count = ckit_read_array(r);
    if (ckit_buf_reserve_exact(out, count) != CKIT_OK) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!to_byte(r, &out->ptr[i])) {
            return false;
        }
    }
    out->len = count;
    return true;
}

static bool take_checksum(ckit_reader *r, uint64_t *sum) {
    uint8_t    bytes[8];
    ckit_slice bin = {bytes, sizeof bytes};
    if (ckit_reader_peek(r) == CKIT_TYPE_BIN) {
        bin = ckit_read_bin(r);
    } else if (ckit_reader_peek(r) != CKIT_TYPE_ARRAY || ckit_read_array(r) != 8) {
        return false;
    } else {
        for (size_t i = 0; i < sizeof bytes; i++) {
            if (!to_byte(r, &bytes[i])) {
                return false;
            }
        }
    }
    *sum = 0;
    for (size_t i = 0; i < 8 && bin.len >= 8; i++) {
        *sum = *sum << 8 | bin.ptr[i];
    }
    return bin.len >= 8;
}

static bool take_name(ckit_reader *r, ckit_slice *text) {
    ckit_type type = ckit_reader_peek(r);
    *text = type == CKIT_TYPE_STR   ? ckit_read_str(r)
            : type == CKIT_TYPE_BIN ? ckit_read_bin(r)
                                    : ckit_slice_of(NULL, 0);
    return (type == CKIT_TYPE_STR || type == CKIT_TYPE_BIN) && ckit_utf8_valid(*text);
}

/* Reads the value of a field from its MessagePack; false when it is of a wrong type. */
static bool take_field(envelope *e, enum field field) {
    ckit_reader r;
    ckit_reader_init(&r, e->raw[field]);
    ckit_type type = ckit_reader_peek(&r);
    switch (field) {
    case BLOCK:
        e->old_form = type == CKIT_TYPE_ARRAY;
        if (e->old_form) {
            bool good = gather(&r, &e->gathered);
            e->block = ckit_buf_slice(&e->gathered);
            return good;
        }
        e->block = type == CKIT_TYPE_BIN ? ckit_read_bin(&r) : ckit_read_str(&r);
        return type == CKIT_TYPE_BIN || type == CKIT_TYPE_STR;
    case CHECKSUM: return take_checksum(&r, &e->checksum);
    case SIZE: e->size = type == CKIT_TYPE_UINT ? ckit_read_uint(&r) : UINT64_MAX; return e->size <= UINT32_MAX;
    case FORMAT: return take_name(&r, &e->format);
    }
    return false;
}

/* Notes where the value of a field is; false when the reader has failed. */
static bool keep_raw(envelope *e, ckit_reader *r, enum field field) {
    e->raw[field] = ckit_read_raw(r);
    if (e->raw[field].ptr == NULL) {
        return false;
    }
    e->at[field] = (size_t)(e->raw[field].ptr - e->part.bytes.ptr);
    e->seen |= 1U << field;
    size_t end = e->at[field] + e->raw[field].len;
    e->end = end > e->end ? end : e->end;
    return true;
}

/* A field's name or position; FIELDS for others. */
static int read_field_name(ckit_reader *r) {
    ckit_slice name;
    if (ckit_reader_peek(r) == CKIT_TYPE_UINT) {
        uint64_t position = ckit_read_uint(r);
        return position < FIELDS ? (int)position : FIELDS;
    }
    if (!take_name(r, &name)) {
        ckit_reader_fail(r, CKIT_E_DECODE, "the name of a field is not text");
        return FIELDS;
    }
    for (int i = 0; i < FIELDS; i++) {
        if (ckit_slice_equal(name, ckit_slice_str(field_names[i]))) {
            return i;
        }
    }
    return FIELDS;
}

static void split_map(envelope *e, ckit_reader *r) {
    uint32_t count = ckit_read_map(r);
    e->map = true;
    for (uint32_t i = 0; i < count && !failed(r, NULL); i++) {
        int field = read_field_name(r);
        if (field == FIELDS) {
            ckit_slice skipped = ckit_read_raw(r);
            e->end = skipped.ptr == NULL ? e->end : (size_t)(skipped.ptr - e->part.bytes.ptr) + skipped.len;
        } else if ((e->seen & 1U << field) != 0) {
            ckit_reader_fail(r, CKIT_E_DECODE, "a field occurs twice");
        } else if (!keep_raw(e, r, (enum field)field)) {
            return;
        }
    }
}

/* Finds the fields, as far as the reader comes. `*count` is of the array or map. */
static void split(envelope *e, ckit_reader *r, uint32_t *count) {
    ckit_reader_init(r, e->part.bytes);
    *count = FIELDS;
    if (ckit_reader_peek(r) == CKIT_TYPE_MAP) {
        split_map(e, r);
        return;
    }
    *count = ckit_read_array(r);
    for (int i = 0; i < FIELDS && *count == FIELDS && keep_raw(e, r, (enum field)i); i++) {}
}

/* ---- the block ---------------------------------------------------------------------------------------------- */

/* Where a byte of the block stands in the envelope. */
static size_t block_offset(const envelope *e, size_t at) {
    ckit_reader r;
    uint8_t     byte;
    if (!e->old_form) {
        return (size_t)(e->block.ptr - e->part.bytes.ptr) + at;
    }
    ckit_reader_init(&r, e->raw[BLOCK]);
    uint32_t count = ckit_read_array(&r);
    for (size_t i = 0; i < at && i < count; i++) {
        (void)to_byte(&r, &byte);
    }
    if (at >= count) {
        return e->at[BLOCK] + e->raw[BLOCK].len;
    }
    return (size_t)(ckit_read_raw(&r).ptr - e->part.bytes.ptr);
}

static size_t content_origin(const void *context, size_t at) {
    const envelope *e = context;
    size_t          source = INSPECT_NOWHERE;
    (void)inspect_follow(e->block, NULL, at, &source);
    if (source == INSPECT_NOWHERE) { /* behind the last byte */
        source = e->block.len;
    }
    size_t offset = block_offset(e, source);
    if (e->part.base != INSPECT_NOWHERE) {
        return e->part.base + offset;
    }
    return e->part.origin == NULL ? INSPECT_NOWHERE : e->part.origin(e->part.context, offset);
}

/* ---- the report --------------------------------------------------------------------------------------------- */

static void tell_fault(inspect_report *report, const envelope *e, const ckit_reader *r, uint32_t count) {
    ckit_error err = CKIT_ERROR_INIT;
    char       found[64];
    if (failed(r, &err)) {
        size_t at = inspect_error_offset(&err, e->part.bytes);
        inspect_damage(report, at, NULL, NULL, "the envelope cannot be read on: %s", err.text);
    } else if (count != FIELDS) {
        (void)snprintf(found, sizeof found, "an array of %u", count);
        inspect_damage(report, 0, "an array of 4", found, "this is no envelope");
    } else {
        int missing = 0;
        while ((e->seen & 1U << missing) != 0) {
            missing++;
        }
        inspect_damage(report, 0, field_names[missing], NULL, "a field of the envelope is missing");
    }
}

static bool take_apart(inspect_report *report, envelope *e) {
    ckit_reader r;
    uint32_t    count;
    ckit_type   type;
    ckit_reader_init(&r, e->part.bytes);
    type = ckit_reader_peek(&r);
    if (type != CKIT_TYPE_ARRAY && type != CKIT_TYPE_MAP) {
        inspect_damage(report, 0, "an array of 4 or a map", type == CKIT_TYPE_END ? "no bytes" : ckit_type_name(type),
                       "this is no envelope");
        return false;
    }
    split(e, &r, &count);
    if (failed(&r, NULL) || e->seen != ALL_FIELDS) {
        tell_fault(report, e, &r, count);
        return false;
    }
    for (int i = 0; i < FIELDS; i++) {
        if (!take_field(e, (enum field)i)) {
            ckit_reader_init(&r, e->raw[i]);
            inspect_damage(report, e->at[i], field_types[i], ckit_type_name(ckit_reader_peek(&r)),
                           "the field %s of the envelope is not what it must be", field_names[i]);
            return false;
        }
    }
    return true;
}

static void tell_facts(inspect_report *report, const envelope *e) {
    char   text[INSPECT_TEXT];
    double ratio = e->block.len == 0 ? 0 : (double)e->size / (double)e->block.len;
    inspect_fact(report, "form", cli_json_text(e->map ? "map" : "array"), "%s",
                 e->map ? "map with the fields' names" : "array");
    inspect_fact(report, "block_encoding", cli_json_text(e->old_form ? "integers" : "bytes"), "%s",
                 e->old_form ? "an array of integers, as written before 2026" : "bytes");
    inspect_fact(report, "compressed_size", cli_json_uint(e->block.len), "%zu bytes, LZ4", e->block.len);
    inspect_fact(report, "declared_size", cli_json_uint(e->size), "%" PRIu64 " bytes", e->size);
    inspect_fact(report, "ratio", cli_json_decimals(ratio, 4), "%.2f", ratio);
    inspect_fact(report, "format", cli_json_bytes(e->format), "%s", inspect_quoted(e->format, text));
}

/* The content of an envelope that the library refuses, as far as there is one. */
static bool salvage(inspect_report *report, const envelope *e, const ckit_error *err, ckit_buf *content) {
    size_t        source = 0;
    uint64_t      computed;
    inspect_block f = inspect_follow(e->block, NULL, SIZE_MAX, &source);
    if (f.fault_at != INSPECT_NO_FAULT) {
        inspect_damage(report, block_offset(e, f.fault_at), NULL, NULL, "%s", f.fault);
        return false;
    }
    char expected[48], found[48];
    (void)snprintf(expected, sizeof expected, "%zu bytes, which the block holds", f.produced);
    (void)snprintf(found, sizeof found, "%" PRIu64 " bytes, declared", e->size);
    if (f.produced != e->size) {
        inspect_damage(report, e->at[SIZE], expected, found, "the declared size is not the content's");
    }
    if (f.produced > CKIT_ENVELOPE_MAX_BYTES || f.produced > CKIT_ENVELOPE_MAX_RATIO * e->block.len) {
        return false;
    }
    if (ckit_buf_reserve_exact(content, f.produced + 1) != CKIT_OK) {
        inspect_no_memory(report);
        return false;
    }
    (void)inspect_follow(e->block, content->ptr, SIZE_MAX, &source);
    content->len = f.produced;
    if (cli_stored_checksum(ckit_buf_slice(content), &computed, NULL) != CKIT_OK) {
        inspect_no_memory(report);
        return false;
    }
    inspect_checksum(report, e->at[CHECKSUM], e->checksum, computed);
    if (report->verdict != INSPECT_DAMAGED) {
        inspect_damage(report, e->at[BLOCK], NULL, NULL, "%s", err->text);
    }
    return true;
}

/* The content; false when there is none. */
static bool open_content(inspect_report *report, const envelope *e, ckit_buf *content) {
    ckit_error  err = CKIT_ERROR_INIT;
    char        text[64], found[48];
    ckit_status st = ckit_envelope_open(e->part.bytes, NULL, content, NULL, &err);
    switch (st) {
    case CKIT_OK: inspect_checksum(report, e->at[CHECKSUM], e->checksum, e->checksum); return true;
    case CKIT_E_NO_MEMORY: inspect_no_memory(report); return false;
    case CKIT_E_BOMB:
        if (e->block.len == 0) {
            inspect_damage(report, e->at[BLOCK], "at least 1 byte", "0 bytes", "the block is empty");
            return false;
        }
        (void)snprintf(text, sizeof text, "at most %" PRIu64 " bytes", CKIT_ENVELOPE_MAX_RATIO * e->block.len);
        (void)snprintf(found, sizeof found, "%" PRIu64 " bytes", e->size);
        inspect_damage(report, e->at[SIZE], text, found, "the declared size is more than %" PRIu64 " times the block's",
                       CKIT_ENVELOPE_MAX_RATIO);
        return false;
    case CKIT_E_TOO_LARGE: inspect_damage(report, e->at[SIZE], NULL, NULL, "%s", err.text); return false;
    default: return salvage(report, e, &err, content);
    }
}

void inspect_envelope(inspect_report *report, const inspect_part *part) {
    envelope e = {.part = *part};
    ckit_buf content = CKIT_BUF_INIT;
    inspect_layer(report, "envelope", part);
    if (take_apart(report, &e)) {
        tell_facts(report, &e);
        bool opened = open_content(report, &e, &content);
        if (e.end < part->bytes.len) {
            inspect_fact(report, "trailing_bytes", cli_json_uint(part->bytes.len - e.end), "%zu, which readers ignore",
                         part->bytes.len - e.end);
        }
        if (opened && report->failure == 0) {
            inspect_part inside = {ckit_buf_slice(&content), INSPECT_NOWHERE, content_origin, &e};
            inspect_document(report, &inside);
        }
    }
    ckit_buf_fini(&content);
    ckit_buf_fini(&e.gathered);
}
