/* cachekit/msgpack.h - MessagePack without a tree: write values one after the other, read them the same way.
 *
 *     ckit_buf    buf = CKIT_BUF_INIT;
 *     ckit_writer w;
 *     ckit_writer_init(&w, &buf);
 *     ckit_write_map(&w, 2);
 *     ckit_write_cstr(&w, "name");
 *     ckit_write_cstr(&w, "alice");
 *     ckit_write_cstr(&w, "age");
 *     ckit_write_int(&w, 30);
 *     if (ckit_writer_finish(&w, &err) != CKIT_OK) ...
 *
 * Writer and reader remember their first failure: what follows does nothing and reads zeros, and one check at the end
 * tells. Both work on the caller's storage; a writer or a reader is used by one thread at a time, and nothing here
 * blocks. The writer chooses the shortest encoding of every value and 64 bits for every float; the reader accepts any
 * encoding of the MessagePack specification except extension types. */
#ifndef CACHEKIT_MSGPACK_H
#define CACHEKIT_MSGPACK_H

#include <cachekit/buf.h>
#include <cachekit/error.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CKIT_MSGPACK_MAX_DEPTH 512 /* arrays and maps inside each other */

/* What a value is. Integers are told apart by sign, not by width: 5 is a UINT however it is encoded. */
typedef enum ckit_type {
    CKIT_TYPE_END = 0,     /* nothing left */
    CKIT_TYPE_INVALID = 1, /* the reader has failed, or the next byte starts no value */
    CKIT_TYPE_NIL = 2,
    CKIT_TYPE_BOOL = 3,
    CKIT_TYPE_INT = 4,    /* below zero */
    CKIT_TYPE_UINT = 5,   /* zero or above */
    CKIT_TYPE_DOUBLE = 6, /* a float of either width */
    CKIT_TYPE_STR = 7,
    CKIT_TYPE_BIN = 8,
    CKIT_TYPE_ARRAY = 9,
    CKIT_TYPE_MAP = 10,
    CKIT_TYPE_EXT = 11, /* recognised, never read: every read of it fails with CKIT_E_DECODE */

    /* Maps with a marker, told apart only by ckit_document_peek (document.h). */
    CKIT_TYPE_DATETIME = 12,
    CKIT_TYPE_DATE = 13,
    CKIT_TYPE_TIME = 14
} ckit_type;

/* "integer", "text", "map" and so on. Static text, never NULL. */
CKIT_API const char *ckit_type_name(ckit_type type);

/* Whether the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
CKIT_API bool ckit_utf8_valid(ckit_slice text);

/* ---- writing --------------------------------------------------------------------------------------------- */

#define CKIT_WRITER_SHALLOW 16 /* arrays and maps inside each other that a writer has room for by itself */

/* Writes exactly one value, which may be an array or a map of others, to the end of a buffer. Must not be copied while
 * in use. Inside of more than CKIT_WRITER_SHALLOW arrays and maps it takes some memory from the buffer's allocator, and
 * gives it back when the value is complete or has failed; so one that is given up before is ended with
 * ckit_writer_finish all the same. */
typedef struct ckit_writer {
    size_t max_bytes; /* may be set after init: the value takes at most this many bytes, else CKIT_E_TOO_LARGE */

    /* private */
    ckit_buf   *out;
    size_t      start;  /* where the value begins in `out` */
    uint64_t    left;   /* values that the innermost open container waits for */
    uint32_t    depth;  /* open containers */
    ckit_status status; /* the first failure */
    const char *why;
    uint64_t   *stack; /* `left` of the containers around: `shallow`, or memory of its own */
    uint64_t    shallow[CKIT_WRITER_SHALLOW];
} ckit_writer;

/* Starts a value behind whatever `out` holds already. `out` is borrowed until ckit_writer_finish. */
CKIT_API void ckit_writer_init(ckit_writer *w, ckit_buf *out);

CKIT_API void ckit_write_nil(ckit_writer *w);
CKIT_API void ckit_write_bool(ckit_writer *w, bool value);
CKIT_API void ckit_write_int(ckit_writer *w, int64_t value);
CKIT_API void ckit_write_uint(ckit_writer *w, uint64_t value);
/* As it is: negative zero, NaN bits and infinities are kept. */
CKIT_API void ckit_write_double(ckit_writer *w, double value);
/* Text must be UTF-8 (else CKIT_E_VALUE_TYPE); text and bytes are at most 2^32-1 bytes (else CKIT_E_TOO_LARGE). */
CKIT_API void ckit_write_str(ckit_writer *w, ckit_slice text);
CKIT_API void ckit_write_cstr(ckit_writer *w, const char *text);
CKIT_API void ckit_write_bin(ckit_writer *w, ckit_slice bytes);
/* Followed by `count` values, or by `count` pairs of a key and a value. More than CKIT_MSGPACK_MAX_DEPTH of them
 * inside each other fail with CKIT_E_DEPTH. Map entries stay in the order they are written in. */
CKIT_API void ckit_write_array(ckit_writer *w, uint32_t count);
CKIT_API void ckit_write_map(ckit_writer *w, uint32_t count);
/* Copies one value that is encoded already. It is checked as ckit_read_raw does, with that function's failures. */
CKIT_API void ckit_write_raw(ckit_writer *w, ckit_slice encoded);

/* For writers of formats built on values: fails the writer unless it has failed already. `why` must be static text. */
CKIT_API void ckit_writer_fail(ckit_writer *w, ckit_status status, const char *why);

/* CKIT_OK proves that exactly one complete value stands in `out` behind what was there at init. Otherwise `out` is cut
 * back to that, and the answer is the first failure: one of the above, CKIT_E_NO_MEMORY, or CKIT_E_MISUSE when values
 * are missing or one too many was written. */
CKIT_API ckit_status ckit_writer_finish(ckit_writer *w, ckit_error *err);

/* ---- reading --------------------------------------------------------------------------------------------- */

/* Reads values one after the other from bytes that stay where they are: slices that it returns point into them. It
 * allocates nothing. About 4 KiB, of which ckit_reader_init touches the first bytes only. Must not be copied while in
 * use. */
typedef struct ckit_reader {
    uint32_t max_depth; /* may be lowered after init: containers inside each other, at most CKIT_MSGPACK_MAX_DEPTH */

    /* private */
    uint32_t       depth;    /* containers around the next value */
    bool           any_text; /* text is not checked */
    const uint8_t *begin;
    const uint8_t *pos;
    const uint8_t *end;
    uint64_t       left;   /* values that the innermost container still holds */
    ckit_status    status; /* the first failure, and where it was */
    size_t         failed_at;
    const char    *why;
    ckit_type      wanted; /* for failures of type */
    ckit_type      found;
    uint64_t       stack[CKIT_MSGPACK_MAX_DEPTH]; /* `left` of the containers around */
} ckit_reader;

/* Begins with the first value of `input`, which is borrowed as long as the reader, and what it has given, is in use.
 * There is nothing to end. */
CKIT_API void ckit_reader_init(ckit_reader *r, ckit_slice input);

/* What comes next, without reading it; CKIT_TYPE_END behind the last byte. A type is no promise that the rest of the
 * value is there. */
CKIT_API ckit_type ckit_reader_peek(const ckit_reader *r);

/* Each reads the next value and moves behind it. Failures, remembered for ckit_reader_finish:
 *   CKIT_E_VALUE_TYPE  the next value is of another type; nothing is converted
 *   CKIT_E_TRUNCATED   the input ends inside the value, or holds fewer bytes than a length or count claims
 *   CKIT_E_DECODE      no value begins like this, an extension type, text that is not UTF-8, an integer that the
 *                      result cannot hold
 *   CKIT_E_DEPTH       more than max_depth containers inside each other
 * They return zero, false or an empty slice then, and ever after. */
CKIT_API void     ckit_read_nil(ckit_reader *r);
CKIT_API bool     ckit_read_bool(ckit_reader *r);
CKIT_API int64_t  ckit_read_int(ckit_reader *r);
CKIT_API uint64_t ckit_read_uint(ckit_reader *r);
CKIT_API double   ckit_read_double(ckit_reader *r);
/* Looks into the input; not terminated by a zero. */
CKIT_API ckit_slice ckit_read_str(ckit_reader *r);
CKIT_API ckit_slice ckit_read_bin(ckit_reader *r);
/* How many values, or pairs of a key and a value, follow. Never more than the rest of the input can hold. */
CKIT_API uint32_t ckit_read_array(ckit_reader *r);
CKIT_API uint32_t ckit_read_map(ckit_reader *r);
/* The bytes of the next value with everything in it, checked throughout. */
CKIT_API ckit_slice ckit_read_raw(ckit_reader *r);
CKIT_API void       ckit_read_skip(ckit_reader *r);

/* For readers of formats built on values: fails the reader at its current place unless it has failed already. `why`
 * must be static text. */
CKIT_API void ckit_reader_fail(ckit_reader *r, ckit_status status, const char *why);

/* CKIT_OK: every read succeeded and the input was read to its end. Otherwise the first failure, with its offset in the
 * text, or CKIT_E_TRAILING when bytes are left. */
CKIT_API ckit_status ckit_reader_finish(const ckit_reader *r, ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
