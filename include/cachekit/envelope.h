/* cachekit/envelope.h - the ByteStorage envelope: bytes, compressed and with a checksum.
 *
 * The form in which CacheKit SDKs store documents when integrity checking is on. An envelope is one MessagePack array
 * of four elements:
 *
 *   0  the content as one LZ4 block (no size prefix, no LZ4 frame), `bin`
 *   1  XXH3-64 of the content, most significant byte first, an array of eight integers
 *   2  the content's length, unsigned
 *   3  the format, a string saying what the content is for: "msgpack"
 *
 * The checksum finds damage; anybody can forge it. All functions may be called from any thread and never block. */
#ifndef CACHEKIT_ENVELOPE_H
#define CACHEKIT_ENVELOPE_H

#include <cachekit/error.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The format's own limits, inclusive. The first holds for the content, the LZ4 block and the whole envelope. */
#define CKIT_ENVELOPE_MAX_BYTES UINT64_C(536870912) /* 512 MiB */
#define CKIT_ENVELOPE_MAX_RATIO UINT64_C(1000)      /* content length / block length */

#define CKIT_COMPRESSION_DEFAULT 0 /* 6 */
#define CKIT_COMPRESSION_OFF (-1)  /* the block holds literals only: larger than the content, readable for everybody */

/* Zero means default everywhere. */
typedef struct ckit_envelope_options {
    size_t   struct_size;
    int      compression_level; /* for store: 1 (fastest) .. 9 (smallest), or CKIT_COMPRESSION_*. From 7 on LZ4 HC,
                                   about ten times the work; reading costs the same for all */
    uint64_t max_content_bytes; /* largest content, written or read; default and maximum CKIT_ENVELOPE_MAX_BYTES */
} ckit_envelope_options;
#define CKIT_ENVELOPE_OPTIONS_INIT CKIT_SIZED_INIT(ckit_envelope_options)
/* The same for callers without macros. `struct_size` is sizeof(ckit_envelope_options). */
CKIT_API void ckit_envelope_options_init(ckit_envelope_options *options, size_t struct_size);

/* Appends the envelope of `content` to `out`. `format` is UTF-8, normally "msgpack". NULL options mean defaults.
 * Neither slice may lie in `out`. A failure leaves `out->len` as it was.
 *
 * CKIT_E_TOO_LARGE      content or envelope above the limit
 * CKIT_E_CONFIGURATION  compression_level or max_content_bytes out of range
 * CKIT_E_MISUSE         `format` is not UTF-8
 * CKIT_E_NO_MEMORY */
CKIT_API ckit_status ckit_envelope_store(ckit_slice content, ckit_slice format, const ckit_envelope_options *options,
                                         ckit_buf *out, ckit_error *err);

/* Reads an envelope and appends its content to `content`; `*format` (may be NULL) becomes a slice of `envelope`.
 *
 * Every form that an SDK ever wrote is read, with the block as `bin` or, before 2026, as an array of integers, and the
 * tolerances of the Rust reader: a map with the fields' names (compressed_data, checksum, original_size, format)
 * instead of the array, unknown names ignored; `bin` for the checksum; wider headers than necessary; bytes after the
 * envelope are ignored.
 *
 * Checked in this order, and no memory is reserved beyond what the block can really expand to:
 *   CKIT_E_TOO_LARGE   the envelope above CKIT_ENVELOPE_MAX_BYTES
 *   CKIT_E_TRUNCATED, CKIT_E_DECODE, CKIT_E_DEPTH  not the structure above
 *   CKIT_E_TOO_LARGE   the block or the declared length above its limit
 *   CKIT_E_BOMB        an empty block, or a declared length above CKIT_ENVELOPE_MAX_RATIO times the block
 *   CKIT_E_DECODE      the block is damaged or holds more than declared
 *   CKIT_E_CHECKSUM    the content is not what was stored
 *   CKIT_E_DECODE      the content is shorter than declared
 *   CKIT_E_NO_MEMORY   where memory is reserved
 * A failure leaves `content->len` as it was; bytes behind it may have changed. */
CKIT_API ckit_status ckit_envelope_open(ckit_slice envelope, const ckit_envelope_options *options, ckit_buf *content,
                                        ckit_slice *format, ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
