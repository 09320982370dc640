/* cachekit/key.h - from a function and the arguments of one call to the name of its entry.
 *
 *     ckit_args args;
 *     ckit_args_init(&args);
 *     ckit_args_int(&args, 42);
 *     ckit_args_keyword(&args, ckit_slice_str("verbose"));
 *     ckit_args_bool(&args, true);
 *     ...
 *     ckit_args_fini(&args);
 *
 * Equal calls give equal keys in every CacheKit SDK that is told the same namespace and function: the arguments are
 * normalised, packed as MessagePack `[positional, keywords]` and hashed with BLAKE2b-256. The integer 1, the float 1.0
 * and true are three different arguments; a positional argument and a keyword of the same value are too. Nothing here
 * blocks. A ckit_args is used by one thread at a time; the key functions may be called from any thread. */
#ifndef CACHEKIT_KEY_H
#define CACHEKIT_KEY_H

#include <cachekit/buf.h>
#include <cachekit/document.h>
#include <cachekit/error.h>
#include <cachekit/msgpack.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the arguments of one call --------------------------------------------------------------------------- */

#define CKIT_ARGS_INLINE 128                    /* bytes, headers included, before memory is asked for */
#define CKIT_ARGS_MAX_BYTES (UINT32_C(1) << 30) /* packed; else CKIT_E_TOO_LARGE */
#define CKIT_ARGS_MAX_DEPTH 510                 /* arrays and maps inside each other, in one argument */
#define CKIT_ARGS_VECTOR_MAX_BYTES 100000       /* of one vector */
#define CKIT_ARGS_VECTORS_MAX_BYTES 5000000     /* of all vectors of one call */

/* private: an array or map that waits for values */
typedef struct ckit_args_frame {
    uint64_t left;  /* values still to come; in a map an even number means that a key is next */
    uint32_t start; /* where the first entry of a map begins */
    uint32_t pairs; /* of a map; 0 for an array */
} ckit_args_frame;

/* Arguments, packed while they are given. Start with ckit_args_init, end with ckit_args_fini; in between it remembers
 * its first failure, which ckit_args_pack reports. Must not be copied by assignment: it may point into itself. */
typedef struct ckit_args {
    /* private; the fields behind `alloc` are set when first needed */
    uint8_t          *bytes; /* inline_bytes or allocated: room for headers, then the values */
    size_t            len;
    size_t            cap;
    uint32_t          count; /* positional arguments */
    uint32_t          state; /* 0: the next value is a positional argument, nothing special */
    const ckit_alloc *alloc;

    uint8_t          inline_bytes[CKIT_ARGS_INLINE];
    ckit_status      status;
    const char      *why;
    size_t           keywords_at; /* where the map of keywords begins */
    size_t           keyword_at;  /* where the current keyword's name begins */
    uint32_t         keywords;
    uint32_t         keyword_header; /* bytes kept for the header of the map of keywords */
    uint32_t         vector_bytes;
    uint32_t         depth;
    uint32_t         frames_cap;
    ckit_args_frame *frames; /* inline_frames or allocated */
    ckit_args_frame  inline_frames[6];
    ckit_slice       tenant;
} ckit_args;

/* Starts without arguments. Memory is asked for only when they outgrow CKIT_ARGS_INLINE, from `alloc` (NULL =
 * malloc). */
CKIT_API void ckit_args_init(ckit_args *args);
CKIT_API void ckit_args_init_alloc(ckit_args *args, const ckit_alloc *alloc);
/* Frees what was allocated and leaves it empty and usable. Accepts NULL. */
CKIT_API void ckit_args_fini(ckit_args *args);
/* Whose call this is, for functions with tenants (function.h); others do not look at it. The bytes are borrowed: they
 * stay until the arguments are done with. No part of the packed arguments, and not copied by ckit_args_copy. */
CKIT_API void ckit_args_tenant(ckit_args *args, ckit_slice tenant);
/* Fills `copy` (uninitialised before) with its own copy of complete arguments, on `alloc`, also of those that cannot be
 * part of a key. CKIT_E_NO_MEMORY, the failure that lost a value of `args`, or CKIT_E_MISUSE for incomplete
 * arguments; `copy` is empty and usable then. */
CKIT_API ckit_status ckit_args_copy(ckit_args *copy, const ckit_args *args, const ckit_alloc *alloc);

/* Each adds one argument, or one value of the innermost array or map that waits for some. The first failure is
 * remembered, and is of one of two kinds:
 *   CKIT_E_KEY_ARGUMENT  a value cannot be part of a key (what each function says below). It is added all the same, and
 *                        all can be read back: the function can run, uncached.
 *   any other            a value is lost: the call cannot be made. CKIT_E_NO_MEMORY, CKIT_E_TOO_LARGE, CKIT_E_DEPTH
 *                        (beyond CKIT_ARGS_MAX_DEPTH), CKIT_E_MISUSE. Such a failure hides one of the first kind. */
CKIT_API void ckit_args_nil(ckit_args *args);
CKIT_API void ckit_args_bool(ckit_args *args, bool value);
CKIT_API void ckit_args_int(ckit_args *args, int64_t value);
CKIT_API void ckit_args_uint(ckit_args *args, uint64_t value);
/* Negative zero counts as zero (not as the key of a map); NaN and infinities count by their bits. */
CKIT_API void ckit_args_double(ckit_args *args, double value);
/* Text counts as it is: no Unicode normalisation. What is not UTF-8 cannot be part of a key. */
CKIT_API void ckit_args_str(ckit_args *args, ckit_slice text);
CKIT_API void ckit_args_cstr(ckit_args *args, const char *text);
CKIT_API void ckit_args_bytes(ckit_args *args, ckit_slice bytes);

/* The next `count` values are its elements (a list or a tuple of Python). */
CKIT_API void ckit_args_array(ckit_args *args, uint32_t count);
/* The next 2 * `count` values are its keys and values in turn, in any order of entries: they are sorted when complete.
 * Keys are plain values (nil to bytes); in a map of several entries all must be comparable: all text, all bytes, or all
 * numbers and booleans (without NaN), and no two may be equal; 1, 1.0 and true are equal as keys. Other maps cannot be
 * part of a key, and stay in the order given. */
CKIT_API void ckit_args_map(ckit_args *args, uint32_t count);

/* These count like the text they stand for, as in the other SDKs; not as keys of maps.
 *   datetime  with an offset, and not converted to UTC; without one it is ambiguous and cannot be part of a key. Out of
 *             its ranges it is CKIT_E_MISUSE
 *   uuid      16 bytes, as 36 lowercase characters
 *   decimal   "19.99", "1e2", "-0", "NaN", "-Infinity": counts as Python writes that Decimal, e.g. "1E+2". Other texts
 *             cannot be part of a key
 *   path      a POSIX path: doubled and trailing slashes and "." components do not count, ".." stays; "" is "." */
CKIT_API void ckit_args_datetime(ckit_args *args, const ckit_datetime *value);
CKIT_API void ckit_args_uuid(ckit_args *args, const uint8_t uuid[16]);
CKIT_API void ckit_args_decimal(ckit_args *args, ckit_slice text);
CKIT_API void ckit_args_path(ckit_args *args, ckit_slice path);

/* A one-dimensional array of numbers (numpy.ndarray in Python), in the machine's byte order; it counts by its BLAKE2b
 * hash, and only that can be read back. Beyond CKIT_ARGS_VECTOR_MAX_BYTES or CKIT_ARGS_VECTORS_MAX_BYTES it cannot be
 * part of a key, and is not hashed. */
typedef enum ckit_vector_type {
    CKIT_VECTOR_I32 = 0,
    CKIT_VECTOR_I64 = 1,
    CKIT_VECTOR_F32 = 2,
    CKIT_VECTOR_F64 = 3
} ckit_vector_type;
CKIT_API void ckit_args_vector(ckit_args *args, ckit_vector_type type, const void *elements, size_t count);

/* The next value is the argument of this name. Positional arguments come before the first keyword (else
 * CKIT_E_MISUSE); the order of keywords does not count; a name given twice cannot be part of a key. A keyword named
 * "_bypass_cache" is not part of the key and is dropped. */
CKIT_API void ckit_args_keyword(ckit_args *args, ckit_slice name);

/* The packed arguments, which the key hashes: a MessagePack array of the positional arguments and the map of keywords,
 * sorted. `packed` points into `args` until something is added or it ends. May be called again, also after adding more.
 * Failures: the first one remembered; CKIT_E_MISUSE when an array, map or keyword still waits for values (which may
 * still come); CKIT_E_KEY_ARGUMENT for a keyword given twice; CKIT_E_NO_MEMORY. */
CKIT_API ckit_status ckit_args_pack(ckit_args *args, ckit_slice *packed, ckit_error *err);

/* For the doors of other languages, where a call for each value costs more than the value: all arguments encoded by
 * the caller, into arguments that are freshly initialised. Nothing is checked: what is written must be what the
 * functions above make of it, MessagePack in its shortest form, maps sorted by their keys.
 *
 *   room           where to write, and how many bytes may be written there
 *   more_room      at least `need` bytes behind the `used` bytes that were written; what was written moves along, and
 *                  begins at `*start` now, with `*room` bytes from there. Failures are remembered, and all is lost
 *                  then: CKIT_E_TOO_LARGE, CKIT_E_NO_MEMORY
 *   fill           what was written are the `count` positional arguments, `len` bytes. At most once
 *   fill_keywords  what was written is the map of `count` keywords, its header included: at most once, behind `fill`,
 *                  after asking for room again */
static inline uint8_t *ckit_args_room(ckit_args *args, size_t *room) {
    *room = args->cap - args->len - 1;
    return args->bytes + args->len;
}
CKIT_API ckit_status ckit_args_more_room(ckit_args *args, size_t used, size_t need, uint8_t **start, size_t *room);
static inline void   ckit_args_fill(ckit_args *args, uint32_t count, size_t len) {
      args->count = count;
      args->len += len;
}
CKIT_API void ckit_args_fill_keywords(ckit_args *args, uint32_t count, size_t len);

/* For functions that are handed the arguments of a call. Both point `r` into `args`; what is read back is the
 * normalised form; of arguments that cannot be part of a key, it is what was given, text that is not UTF-8 included.
 * Arguments that have lost a value or are incomplete read as none.
 *   positional    returns how many there are, to be read one after the other
 *   find_keyword  whether there is one of that name, and its value to read */
CKIT_API uint32_t ckit_args_positional(const ckit_args *args, ckit_reader *r);
CKIT_API bool     ckit_args_find_keyword(const ckit_args *args, ckit_slice name, ckit_reader *r);

/* ---- keys ------------------------------------------------------------------------------------------------ */

#define CKIT_KEY_MAX_CHARACTERS 250 /* of an automatic key; longer ones are shortened with a hash */
#define CKIT_KEY_MAX_BYTES 1000     /* of an automatic key: that many characters of UTF-8 */
#define CKIT_KEY_FUNCTION_MAX 200   /* of the function's name in it */

/* What an automatic key tells besides the arguments. */
typedef struct ckit_key_spec {
    ckit_slice namespace_name; /* UTF-8; empty: none */
    ckit_slice function;       /* UTF-8, not empty; for Python's functions "module.qualified_name" */
    bool       integrity;      /* whether values are stored with a checksum */
    char       code;           /* serializer letter; 0 = 's', which the SDKs write whatever the serializer */
} ckit_key_spec;

/* Appends the automatic key of one call to `out`:
 *
 *     [ns:NAMESPACE:]func:FUNCTION:args:HASH:IC CODE       e.g. ns:test:func:__main__.get_user:args:3870...5153:1s
 *
 * FUNCTION as ckit_key_function makes it, HASH of `packed` (from ckit_args_pack; not checked), IC 1 or 0, CODE. Spaces
 * and line ends become "_"; a key of more than CKIT_KEY_MAX_CHARACTERS becomes its first 50 characters, ":" and 32
 * digits of its hash. CKIT_E_MISUSE for an empty function, a namespace or function that is not UTF-8, or a code that is
 * no lowercase letter; CKIT_E_NO_MEMORY. `out` is unchanged on failure. */
CKIT_API ckit_status ckit_key_automatic(const ckit_key_spec *spec, ckit_slice packed, ckit_buf *out, ckit_error *err);

/* The same for a function that is called often: what does not depend on the arguments is prepared once. A prefix is
 * constant after init and may be used from many threads; it ends with ckit_key_prefix_fini, which accepts NULL and
 * zeroed memory. */
typedef struct ckit_key_prefix {
    /* private */
    ckit_buf text;       /* everything before HASH, characters replaced */
    size_t   characters; /* of it */
    char     tail[3];    /* everything after HASH */
} ckit_key_prefix;

CKIT_API ckit_status ckit_key_prefix_init(ckit_key_prefix *prefix, const ckit_key_spec *spec, const ckit_alloc *alloc,
                                          ckit_error *err);
CKIT_API void        ckit_key_prefix_fini(ckit_key_prefix *prefix);
CKIT_API ckit_status ckit_key_from_prefix(const ckit_key_prefix *prefix, ckit_slice packed, ckit_buf *out,
                                          ckit_error *err);

/* Appends FUNCTION of an automatic key to `out`: every character but A-Z a-z 0-9 _ . becomes "_", runs of dots become
 * one, the first CKIT_KEY_FUNCTION_MAX characters stay. CKIT_E_MISUSE when `function` is empty or not UTF-8,
 * CKIT_E_NO_MEMORY; `out` is unchanged then. */
CKIT_API ckit_status ckit_key_function(ckit_slice function, ckit_buf *out, ckit_error *err);

/* Appends the key of an entry that the program names itself: NAMESPACE ":" TEXT, with "default" for an empty namespace.
 * Nothing is replaced or shortened. CKIT_E_MISUSE for what is not UTF-8, CKIT_E_NO_MEMORY; `out` is unchanged then. */
CKIT_API ckit_status ckit_key_custom(ckit_slice namespace_name, ckit_slice text, ckit_buf *out, ckit_error *err);

/* A key taken apart. Slices point into the key and are empty when unknown or absent. */
typedef struct ckit_key_parts {
    bool       automatic;       /* it has the shape of an automatic key; otherwise nothing else is set */
    bool       shortened;       /* only its beginning is left: function, hash, integrity and code are unknown */
    bool       namespace_known; /* all of it is in `namespace_name`, empty for none */
    ckit_slice namespace_name;  /* as in the key: spaces and line ends replaced */
    ckit_slice function;
    ckit_slice hash; /* 64 hexadecimal digits */
    bool       integrity;
    char       code;
} ckit_key_parts;

/* Takes any bytes; what has another shape is not `automatic`. */
CKIT_API ckit_key_parts ckit_key_describe(ckit_slice key);

#ifdef __cplusplus
}
#endif
#endif
