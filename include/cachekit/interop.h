/* cachekit/interop.h - interop mode (interop/v1): keys and values that every CacheKit SDK makes and reads alike.
 *
 *     ckit_interop_args args;
 *     ckit_interop_args_init(&args, NULL);
 *     ckit_interop_args_int(&args, 42);
 *     if (ckit_interop_args_pack(&args, &packed, &err) == CKIT_OK)
 *         ckit_interop_key(ckit_slice_str("users"), ckit_slice_str("get_user"), packed, &key, &err);
 *     ckit_interop_args_fini(&args);
 *
 * The key is `users:get_user:61598716...cffee8875`, the value one plain MessagePack document: no envelope, no
 * compression, no checksum. What makes both alike everywhere is a closed data model and one encoding for each of its
 * values:
 *
 *     nil, booleans   one byte
 *     integers        -2^63 to 2^64-1, the shortest form
 *     floats          64 bits; no NaN, no infinities. As arguments, floats without a fraction from -2^63 to below 2^64
 *                     become integers, so that 2.0 is 2 and negative zero is 0; as values floats stay floats
 *     text            UTF-8 as it is, no Unicode normalisation
 *     bytes, arrays   the shortest head; the order of an array stays
 *     maps            keys are text, no two are equal; sorted by code points at every level
 *
 * and as arguments only: sets, datetimes with an offset, UUIDs. Values hold dates and times as document.h writes them.
 * Interop mode never degrades: what is outside of the model is an error of the caller's data, and the caller is told.
 *
 * This page makes and examines the bytes. A function with the option `interop` (function.h) uses them, and the encoding
 * CKIT_INTEROP (cache.h) reads and writes such entries by their keys.
 *
 * The functions may be called from any thread, a ckit_interop_args by one at a time; nothing blocks. */
#ifndef CACHEKIT_INTEROP_H
#define CACHEKIT_INTEROP_H

#include <cachekit/buf.h>
#include <cachekit/document.h>
#include <cachekit/error.h>
#include <cachekit/key.h>
#include <cachekit/msgpack.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- keys ------------------------------------------------------------------------------------------------ */

#define CKIT_INTEROP_NAME_MAX 64    /* bytes of a namespace or an operation */
#define CKIT_INTEROP_HASH_DIGITS 64 /* of the arguments' BLAKE2b-256 */
#define CKIT_INTEROP_KEY_MAX 194    /* bytes of a key */

/* A namespace or an operation: a lowercase letter or a digit, then up to 63 lowercase letters, digits, ".", "_" and
 * "-". CKIT_E_MISUSE for everything else; nothing is repaired. `what` ("namespace") begins the error's text. */
CKIT_API ckit_status ckit_interop_name_check(ckit_slice name, const char *what, ckit_error *err);

/* Appends NAMESPACE ":" OPERATION ":" HASH to `out`, HASH being that of `packed`, which comes from
 * ckit_interop_args_pack and is not checked. CKIT_E_MISUSE for a name as above, CKIT_E_NO_MEMORY; `out` is unchanged
 * then. */
CKIT_API ckit_status ckit_interop_key(ckit_slice namespace_name, ckit_slice operation, ckit_slice packed, ckit_buf *out,
                                      ckit_error *err);

/* A key taken apart: true, and slices into the key, when it is exactly of that form. All are empty otherwise. */
typedef struct ckit_interop_key_parts {
    ckit_slice namespace_name;
    ckit_slice operation;
    ckit_slice hash; /* lowercase digits */
} ckit_interop_key_parts;
CKIT_API bool ckit_interop_key_describe(ckit_slice key, ckit_interop_key_parts *parts);

/* ---- arguments ------------------------------------------------------------------------------------------- */

#define CKIT_INTEROP_ARGS_MAX_BYTES (UINT32_C(1) << 30) /* packed, and up to 14 bytes more while they are given */
#define CKIT_INTEROP_ARGS_MAX_DEPTH 511                 /* arrays, maps and sets inside each other, in one argument */

/* private: an array, map or set that waits for values */
typedef struct ckit_interop_frame {
    uint64_t left;  /* values still to come; in a map an even number means that a key is next */
    size_t   start; /* where its first value begins */
    uint32_t count; /* elements, or pairs */
    uint32_t kind;
} ckit_interop_frame;

/* The arguments of one call, encoded while they are given. About 12 KiB, of which ckit_interop_args_init touches the
 * first bytes only. Must not be copied: it may point into itself. */
typedef struct ckit_interop_args {
    /* private */
    ckit_buf          *out;
    size_t             start; /* where in `out` the first value begins */
    size_t             max_bytes;
    uint32_t           max_depth;
    uint32_t           depth;
    uint32_t           count;  /* arguments that are complete */
    ckit_status        status; /* the first failure */
    const char        *why;
    bool               is_value; /* the rules of values, not of arguments */
    ckit_buf           own;
    ckit_interop_frame frames[CKIT_MSGPACK_MAX_DEPTH];
} ckit_interop_args;

/* Starts without arguments; memory comes from `alloc` (NULL = malloc), some of it here: a failure is remembered. */
CKIT_API void ckit_interop_args_init(ckit_interop_args *args, const ckit_alloc *alloc);
/* Ends it. Accepts NULL. */
CKIT_API void ckit_interop_args_fini(ckit_interop_args *args);

/* Each adds one argument, or one value of the innermost array, map or set that waits for some. All declared parameters
 * are given in the order of their declaration, also those that have their default; variadic ones are one array and one
 * map. The order is part of the contract between languages.
 *
 * The first failure is remembered, nothing is added from there on, and ckit_interop_args_pack reports it:
 *   CKIT_E_KEY_ARGUMENT  outside of the data model, and why
 *   CKIT_E_DEPTH, CKIT_E_TOO_LARGE, CKIT_E_NO_MEMORY, CKIT_E_MISUSE */
CKIT_API void ckit_interop_args_nil(ckit_interop_args *args);
CKIT_API void ckit_interop_args_bool(ckit_interop_args *args, bool value);
CKIT_API void ckit_interop_args_int(ckit_interop_args *args, int64_t value);
CKIT_API void ckit_interop_args_uint(ckit_interop_args *args, uint64_t value);
/* For integers of any size: decimal digits, perhaps behind "-". What 64 bits do not hold is outside of the model; other
 * texts are CKIT_E_MISUSE. */
CKIT_API void ckit_interop_args_integer(ckit_interop_args *args, ckit_slice text);
CKIT_API void ckit_interop_args_double(ckit_interop_args *args, double value);
CKIT_API void ckit_interop_args_str(ckit_interop_args *args, ckit_slice text);
CKIT_API void ckit_interop_args_cstr(ckit_interop_args *args, const char *text);
CKIT_API void ckit_interop_args_bytes(ckit_interop_args *args, ckit_slice bytes);

/* The next `count` values are its elements; the next 2 * `count` its keys and values in turn, in any order of
 * entries. */
CKIT_API void ckit_interop_args_array(ckit_interop_args *args, uint32_t count);
CKIT_API void ckit_interop_args_map(ckit_interop_args *args, uint32_t count);
/* The next `count` values are its elements, in any order: it becomes an array of them, sorted by their encoded bytes,
 * without those that are there already (2 and 2.0 are one). */
CKIT_API void ckit_interop_args_set(ckit_interop_args *args, uint32_t count);

/* An instant: microseconds since 1970 in UTC, as a float divided by 10^6, then a number like any other. Without an
 * offset it is none, and outside of the model; out of its ranges it is CKIT_E_MISUSE. */
CKIT_API void ckit_interop_args_datetime(ckit_interop_args *args, const ckit_datetime *value);
/* 16 bytes, which become 36 lowercase characters of text. */
CKIT_API void ckit_interop_args_uuid(ckit_interop_args *args, const uint8_t uuid[16]);
/* A value that is a document, in any encoding. Dates and times in it are maps like others. Besides the failures above
 * those of ckit_document_check. */
CKIT_API void ckit_interop_args_document(ckit_interop_args *args, ckit_slice document);

/* For the doors of other languages, whose types this page does not know: fails with CKIT_E_KEY_ARGUMENT unless it has
 * failed already. `why` must be static text. */
CKIT_API void ckit_interop_args_refuse(ckit_interop_args *args, const char *why);

/* The canonical MessagePack array of the arguments, which the key hashes. `packed` points into `args` until something
 * is added or it ends; it is empty after a failure. May be called again, also after adding more. Failures: the one
 * remembered, with the number of its argument (from 1); CKIT_E_MISUSE when an array, map or set waits for values (which
 * may still come). */
CKIT_API ckit_status ckit_interop_args_pack(ckit_interop_args *args, ckit_slice *packed, ckit_error *err);

/* Whether foreign bytes are what ckit_interop_args_pack makes. Answers as ckit_interop_value_check does. What was a
 * set is an array there, so the order of its elements is not looked at. */
CKIT_API ckit_status ckit_interop_args_check(ckit_slice packed, ckit_error *err);

/* The arguments of a call of a function with the option `interop` (function.h): `args`, freshly initialised, takes what
 * `from` holds, which may be used on. Nothing can be added to it afterwards; the function reads it back in the
 * canonical form, with ckit_args_positional. A failure that `from` remembers, or that values are missing there, is
 * remembered in `args`. */
CKIT_API void ckit_args_interop(ckit_args *args, ckit_interop_args *from);

/* ---- values ---------------------------------------------------------------------------------------------- */

/* Writing: appends the canonical form of a document to `out`, which is unchanged on failure. `document` must not lie in
 * `out`. One that is canonical already is copied; else memory for sorting comes from the allocator of `out`.
 *   CKIT_E_VALUE_TYPE  outside of the data model, and why: an error of whoever made the value
 *   CKIT_E_NO_MEMORY, and the failures of ckit_document_check */
CKIT_API ckit_status ckit_interop_value_normalise(ckit_slice document, ckit_buf *out, ckit_error *err);

/* Whether a document is in its canonical form, byte for byte. CKIT_E_VALUE_TYPE: outside of the data model.
 * CKIT_E_DECODE: in another form (a longer encoding, a float of 32 bits, keys that are not sorted), and the failures of
 * ckit_document_check. The first in the order of reading counts. */
CKIT_API ckit_status ckit_interop_value_check(ckit_slice document, ckit_error *err);

/* Reading is wider, because not every SDK writes the canonical form: CKIT_OK for exactly one document whose maps have
 * keys of text or bytes. Otherwise the entry counts as unreadable: CKIT_E_DECODE for other keys and for a frame of the
 * automatic mode ("CK") that was stored under an interop key, and the failures of ckit_document_check. There is no
 * checksum: damage that leaves a document is not seen. */
CKIT_API ckit_status ckit_interop_value_accept(ckit_slice stored, ckit_error *err);

/* ckit_document_peek for interop values: a map is a datetime, a date or a time, asked in that order, when its marker
 * member is exactly true and its "value" member is text; other members do not count. */
CKIT_API ckit_type ckit_interop_peek(ckit_reader *r);

/* The next value, which must be such a map (else CKIT_E_VALUE_TYPE). A text that is none is CKIT_E_DECODE; a "z" at its
 * end counts as "Z". `out` is zero after a failure. */
CKIT_API void ckit_interop_read_datetime(ckit_reader *r, ckit_datetime *out);
CKIT_API void ckit_interop_read_date(ckit_reader *r, ckit_date *out);
CKIT_API void ckit_interop_read_time(ckit_reader *r, ckit_time *out);

#ifdef __cplusplus
}
#endif
#endif
