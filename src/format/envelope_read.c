#include "format/envelope_read.h"

#include <cachekit/buf.h>
#include <cachekit/msgpack.h>

#define WHERE "envelope"

enum field { FIELD_BLOCK, FIELD_CHECKSUM, FIELD_SIZE, FIELD_FORMAT, FIELD_UNKNOWN };
#define FIELD_COUNT 4

/* The next value is not of the type it must be. */
static void mistyped(ckit_reader *r, const char *why) {
    if (ckit_reader_peek(r) == CKIT_TYPE_END) {
        ckit_reader_fail(r, CKIT_E_TRUNCATED, "ends before the envelope does");
    }
    ckit_reader_fail(r, CKIT_E_DECODE, why);
}

static uint64_t read_uint_up_to(ckit_reader *r, uint64_t max, const char *why) {
    if (ckit_reader_peek(r) != CKIT_TYPE_UINT) {
        mistyped(r, why);
        return 0;
    }
    uint64_t value = ckit_read_uint(r);
    if (value > max) {
        ckit_reader_fail(r, CKIT_E_DECODE, why);
        return 0;
    }
    return value;
}

static uint8_t read_byte(ckit_reader *r) { return (uint8_t)read_uint_up_to(r, 0xff, "not an array of bytes"); }

/* The old encoding: one integer per byte. */
static ckit_status gather_block(ckit_reader *r, ckit_buf *gathered) {
    uint32_t count = ckit_read_array(r); /* no more than there are bytes left */
    gathered->len = 0;
    if (ckit_buf_reserve_exact(gathered, count) != CKIT_OK) {
        return CKIT_E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        gathered->ptr[i] = read_byte(r);
    }
    gathered->len = count;
    return CKIT_OK;
}

static ckit_status read_block(ckit_reader *r, ckiti_envelope_fields *fields, ckit_buf *gathered) {
    ckit_status st = CKIT_OK;
    switch (ckit_reader_peek(r)) {
    case CKIT_TYPE_BIN: fields->block = ckit_read_bin(r); break;
    case CKIT_TYPE_STR: fields->block = ckit_read_str(r); break;
    case CKIT_TYPE_ARRAY:
        st = gather_block(r, gathered);
        fields->block = ckit_buf_slice(gathered);
        break;
    default: mistyped(r, "the block is neither bytes nor an array of bytes");
    }
    return st;
}

static void read_checksum(ckit_reader *r, uint64_t *checksum) {
    uint64_t sum = 0;
    if (ckit_reader_peek(r) == CKIT_TYPE_BIN) {
        ckit_slice bytes = ckit_read_bin(r);
        if (bytes.len < 8) {
            ckit_reader_fail(r, CKIT_E_DECODE, "a checksum shorter than 8 bytes");
            return;
        }
        for (size_t i = 0; i < 8; i++) {
            sum = sum << 8 | bytes.ptr[i];
        }
    } else {
        if (ckit_reader_peek(r) != CKIT_TYPE_ARRAY) {
            mistyped(r, "the checksum is not an array of 8 integers");
        }
        if (ckit_read_array(r) != 8) {
            ckit_reader_fail(r, CKIT_E_DECODE, "the checksum is not an array of 8 integers");
        }
        for (size_t i = 0; i < 8; i++) {
            sum = sum << 8 | read_byte(r);
        }
    }
    *checksum = sum;
}

/* Text, or text stored as bytes. */
static ckit_slice read_text(ckit_reader *r, const char *why) {
    ckit_type type = ckit_reader_peek(r);
    if (type == CKIT_TYPE_STR) {
        return ckit_read_str(r);
    }
    if (type != CKIT_TYPE_BIN) {
        mistyped(r, why);
        return ckit_slice_of(NULL, 0);
    }
    ckit_slice text = ckit_read_bin(r);
    if (!ckit_utf8_valid(text)) {
        ckit_reader_fail(r, CKIT_E_DECODE, why);
    }
    return text;
}

static ckit_status read_field(ckit_reader *r, enum field field, ckiti_envelope_fields *fields, ckit_buf *gathered) {
    switch (field) {
    case FIELD_BLOCK: return read_block(r, fields, gathered);
    case FIELD_CHECKSUM: read_checksum(r, &fields->checksum); break;
    case FIELD_SIZE: fields->size = read_uint_up_to(r, UINT32_MAX, "the size is not an integer up to 2^32-1"); break;
    case FIELD_FORMAT: fields->format = read_text(r, "the format is not text"); break;
    case FIELD_UNKNOWN: ckit_read_skip(r); break;
    }
    return CKIT_OK;
}

/* A name, or a position. */
static enum field read_field_name(ckit_reader *r) {
    static const char *const names[FIELD_COUNT] = {"compressed_data", "checksum", "original_size", "format"};
    if (ckit_reader_peek(r) == CKIT_TYPE_UINT) {
        uint64_t position = ckit_read_uint(r);
        return position < FIELD_COUNT ? (enum field)position : FIELD_UNKNOWN;
    }
    ckit_slice name = read_text(r, "a field's name is not text");
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (ckit_slice_equal(name, ckit_slice_str(names[i]))) {
            return (enum field)i;
        }
    }
    return FIELD_UNKNOWN;
}

static ckit_status read_map_form(ckit_reader *r, ckiti_envelope_fields *fields, ckit_buf *gathered) {
    unsigned    seen = 0;
    ckit_status st = CKIT_OK;
    uint32_t    count = ckit_read_map(r);
    for (uint32_t i = 0; i < count && st == CKIT_OK && ckit_reader_peek(r) != CKIT_TYPE_INVALID; i++) {
        enum field field = read_field_name(r);
        if (field != FIELD_UNKNOWN && (seen & 1U << field) != 0) {
            ckit_reader_fail(r, CKIT_E_DECODE, "a field occurs twice");
        }
        seen |= 1U << field;
        st = read_field(r, field, fields, gathered);
    }
    if ((seen & ((1U << FIELD_COUNT) - 1)) != (1U << FIELD_COUNT) - 1) {
        ckit_reader_fail(r, CKIT_E_DECODE, "a field is missing");
    }
    return st;
}

static ckit_status read_array_form(ckit_reader *r, ckiti_envelope_fields *fields, ckit_buf *gathered) {
    if (ckit_read_array(r) != FIELD_COUNT) {
        ckit_reader_fail(r, CKIT_E_DECODE, "not an array of four");
    }
    ckit_status st = CKIT_OK;
    for (int i = 0; i < FIELD_COUNT && st == CKIT_OK; i++) {
        st = read_field(r, (enum field)i, fields, gathered);
    }
    return st;
}

ckit_status ckiti_envelope_read(ckit_slice envelope, ckit_buf *gathered, ckiti_envelope_fields *fields,
                                ckit_error *err) {
    *fields = (ckiti_envelope_fields){.size = 0};
    ckit_reader r;
    ckit_reader_init(&r, envelope);
    ckit_status st = CKIT_OK;
    switch (ckit_reader_peek(&r)) {
    case CKIT_TYPE_ARRAY: st = read_array_form(&r, fields, gathered); break;
    case CKIT_TYPE_MAP: st = read_map_form(&r, fields, gathered); break;
    case CKIT_TYPE_END: return ckit_fail(err, CKIT_E_TRUNCATED, WHERE, "no bytes");
    default: ckit_reader_fail(&r, CKIT_E_DECODE, "neither an array nor a map");
    }
    if (st != CKIT_OK) {
        return ckit_fail(err, st, WHERE, "no memory for the block");
    }
    ckit_error inner = CKIT_ERROR_INIT;
    st = ckit_reader_finish(&r, &inner);
    if (st == CKIT_OK || st == CKIT_E_TRAILING) { /* what follows an envelope is ignored by all readers */
        return CKIT_OK;
    }
    return ckit_fail(err, st, WHERE, "%s", inner.text);
}
