#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <cachekit/msgpack.h>

#include "base/hash.h"
#include "base/misuse.h"
#include "format/envelope_block.h"
#include "format/envelope_options.h"
#include "format/msgpack_code.h"

#define WHERE "envelope"
#define DEFAULT_LEVEL 6

/* Everything but the block: array and bin header, checksum, size, string header. */
#define MAX_BESIDES (1 + 5 + (1 + 8 * 2) + 5 + 5)

void ckit_envelope_options_init(ckit_envelope_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

ckit_status ckiti_envelope_settle(const ckit_envelope_options *given, ckit_envelope_options *options, ckit_error *err) {
    *options = (ckit_envelope_options)CKIT_ENVELOPE_OPTIONS_INIT;
    if (given != NULL) {
        size_t known = given->struct_size < sizeof *options ? given->struct_size : sizeof *options;
        memcpy(options, given, known);
    }
    if (options->compression_level == CKIT_COMPRESSION_DEFAULT) {
        options->compression_level = DEFAULT_LEVEL;
    }
    if (options->compression_level < CKIT_COMPRESSION_OFF || options->compression_level > 9) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE,
                         "compression_level is %d, allowed are 1 to 9, 0 (default) and -1 (off)",
                         options->compression_level);
    }
    if (options->max_content_bytes == 0) {
        options->max_content_bytes = CKIT_ENVELOPE_MAX_BYTES;
    }
    if (options->max_content_bytes > CKIT_ENVELOPE_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "max_content_bytes is %llu, at most %llu are allowed",
                         (unsigned long long)options->max_content_bytes, (unsigned long long)CKIT_ENVELOPE_MAX_BYTES);
    }
    return CKIT_OK;
}

ckit_status ckiti_envelope_too_large(ckit_error *err, const char *what, uint64_t len, uint64_t limit) {
    return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "%s of %llu bytes, limit %llu", what, (unsigned long long)len,
                     (unsigned long long)limit);
}

/* An array of eight integers: a byte from 80 on has cc before it. Without a branch, since a checksum's bits cannot be
 * predicted. */
static uint8_t *put_checksum(uint8_t *at, uint64_t checksum) {
    *at++ = 0x98;
#pragma GCC unroll 8
    for (int shift = 56; shift >= 0; shift -= 8) {
        uint8_t byte = (uint8_t)(checksum >> shift);
        *at = 0xcc;
        at += byte >> 7;
        *at++ = byte;
    }
    return at;
}

/* The length of the shortest `bin` header. */
static size_t bin_header_len(size_t len) { return len <= 0xff ? 2 : len <= 0xffff ? 3 : 5; }

static uint8_t *put_format(uint8_t *at, ckit_slice format) {
    at += ckiti_put_str_head(at, (uint32_t)format.len);
    if (format.len > 0) {
        memcpy(at, format.ptr, format.len);
    }
    return at + format.len;
}

/* Writes the envelope at `start`, where there is room for the largest. Returns its length, or 0 without memory.
 *
 * How wide the block's header is, is known only when the block is there. It is compressed behind the header that a
 * content of this length usually needs, and moved when that was wrong. */
static size_t write_envelope(uint8_t *start, ckit_slice content, ckit_slice format, int level,
                             const ckit_alloc *alloc) {
    size_t guess = 1 + bin_header_len(content.len);
    size_t len = ckiti_block_compress(level, content, start + guess, alloc);
    if (len == 0) {
        return 0;
    }
    size_t needed = 1 + bin_header_len(len);
    if (needed != guess) {
        memmove(start + needed, start + guess, len);
    }
    start[0] = 0x94;
    uint8_t *at = start + 1 + ckiti_put_bin_head(start + 1, (uint32_t)len) + len;
    at = put_checksum(at, ckiti_xxh3_content(content.ptr, content.len));
    at += ckiti_put_uint(at, content.len);
    at = put_format(at, format);
    return (size_t)(at - start);
}

ckit_status ckit_envelope_store(ckit_slice content, ckit_slice format, const ckit_envelope_options *given,
                                ckit_buf *out, ckit_error *err) {
    ckit_envelope_options options;
    if (out == NULL) {
        return ckiti_there_is_no(err, "envelope", "place for the envelope");
    }
    ckit_status st = ckiti_envelope_settle(given, &options, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (content.len > options.max_content_bytes) {
        return ckiti_envelope_too_large(err, "content", content.len, options.max_content_bytes);
    }
    if (format.len > CKIT_ENVELOPE_MAX_BYTES) {
        return ckiti_envelope_too_large(err, "format", format.len, CKIT_ENVELOPE_MAX_BYTES);
    }
    if (!ckit_utf8_valid(format)) {
        return ckit_fail(err, CKIT_E_MISUSE, WHERE, "the format is not UTF-8");
    }
    size_t room = ckiti_block_bound(content.len) + format.len + MAX_BESIDES;
    if (ckit_buf_reserve(out, room) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", room);
    }
    size_t len = write_envelope(out->ptr + out->len, content, format, options.compression_level, out->alloc);
    if (len == 0) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for the state of compression level %d",
                         options.compression_level);
    }
    if (len > CKIT_ENVELOPE_MAX_BYTES) {
        return ckiti_envelope_too_large(err, "envelope", len, CKIT_ENVELOPE_MAX_BYTES);
    }
    out->len += len;
    return CKIT_OK;
}
