/* cachekit/frame.h - the "CK" frame: what says how a stored value is to be read.
 *
 * The form in which the Python SDK stores values outside of interop mode:
 *
 *   "CK"  03  header length H (u32, big-endian)  header (H bytes)  payload (the rest)
 *
 * The header is one JSON object, UTF-8, e.g.
 *
 *   {"s": "default", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": true, "original_type": "msgpack"},
 *    "v": "2.0"}
 *
 * It is protected by nothing: whoever can write to the store can change it. Parsing therefore answers what the header
 * says; whether that is acceptable is for the reader to decide (see ckit_frame_verdict).
 *
 * All functions may be called from any thread and never block. */
#ifndef CACHEKIT_FRAME_H
#define CACHEKIT_FRAME_H

#include <cachekit/error.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CKIT_FRAME_MAX_HEADER_BYTES 65536u /* longer headers are not written and refused */

/* What a reader should do with the stored value. */
typedef enum ckit_frame_verdict {
    CKIT_FRAME_READABLE = 0,   /* go on with the payload */
    CKIT_FRAME_MALFORMED = 1,  /* not a frame we know, perhaps somebody else's or a newer one: treat it as a miss, keep
                                  the entry */
    CKIT_FRAME_CORRUPT = 2,    /* a frame, and damaged or contradictory: treat it as a miss, delete the entry */
    CKIT_FRAME_SUSPICIOUS = 3, /* claims to be encrypted without naming a tenant: as CORRUPT, and worth a log line */
    CKIT_FRAME_UNDECIDED = 4   /* memory ran out: nothing is known about the entry, keep it */
} ckit_frame_verdict;

/* A header's fields and the payload. Zeroed memory is an empty one. Slices are borrowed, see the functions. */
typedef struct ckit_frame {
    ckit_slice serializer;           /* "default", "auto", "orjson", "arrow", ...; empty: absent */
    ckit_slice format;               /* "msgpack", "orjson" or "arrow" */
    ckit_slice encoding;             /* empty: "utf-8" */
    ckit_slice original_type;        /* meaningful when has_original_type; else JSON null */
    ckit_slice tenant_id;            /* this one and the next two only when encrypted */
    ckit_slice encryption_algorithm; /* "AES-256-GCM" */
    ckit_slice key_fingerprint;      /* 32 hex digits */
    ckit_slice payload;
    bool       has_original_type;
    bool       compressed; /* the payload (before encryption) is compressed: for "default" an envelope */
    bool       encrypted;
    bool       legacy; /* parsed from the text form of old versions, which is never written */
    /* Set by parsing, in every case; ignored by writing. */
    ckit_frame_verdict verdict;
} ckit_frame;

/* Appends the frame of `frame`, byte for byte as the Python SDK writes it: header and `payload`, which may be empty
 * when the caller appends it afterwards. Neither may lie in `out`. A failure leaves `out->len` as it was.
 *
 * CKIT_E_MISUSE     serializer or format is empty, a text is not UTF-8, or encrypted without a tenant
 * CKIT_E_TOO_LARGE  the header would be longer than CKIT_FRAME_MAX_HEADER_BYTES
 * CKIT_E_NO_MEMORY */
CKIT_API ckit_status ckit_frame_write(const ckit_frame *frame, ckit_buf *out, ckit_error *err);

/* Reads the frame of a whole stored value into `*out`. Slices point into `stored`, or into `scratch` (strings that had
 * escapes, and the legacy form's payload), to which bytes may be appended: both must stay unchanged while `*out` is in
 * use.
 *
 * Anything that does not begin with "CK" is tried as the legacy text form, a JSON object with the members data (base64
 * of the payload), metadata, serializer and version. Members may come in any order, unknown ones are ignored, the last
 * of several with one name counts, missing ones (other than `format`) are empty, false or null.
 *
 * CKIT_OK, and out->verdict is READABLE. Otherwise `*out` holds nothing but the verdict:
 *
 *   status                            verdict     because
 *   CKIT_E_TRUNCATED                  MALFORMED   ends inside the seven bytes or inside the header
 *   CKIT_E_DECODE                     MALFORMED   another version, not JSON, not UTF-8, a header above the limits (of
 *                                                 length, of 32 levels, of 1024 nested values), a member of a wrong
 *                                                 type, a format other than the three
 *   CKIT_E_DECODE                     CORRUPT     JSON, but the header or `m` is no object; no `format`; a legacy form
 *                                                 without `data` or with a `data` that is not base64
 *   CKIT_E_DECODE                     SUSPICIOUS  encrypted without a tenant
 *   CKIT_E_NO_MEMORY                  UNDECIDED
 */
CKIT_API ckit_status ckit_frame_parse(ckit_slice stored, ckit_frame *out, ckit_buf *scratch, ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
