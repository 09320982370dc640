/* format/stored.h - a document as it lies in a store: "CK" frame, then the envelope or the bare document.
 *
 * What the pipeline calls. Any thread, no blocking. */
#ifndef CKITI_FORMAT_STORED_H
#define CKITI_FORMAT_STORED_H

#include <cachekit/error.h>
#include <cachekit/frame.h>
#include <cachekit/types.h>

/* What to do with an entry that could not be opened; KEEP when it could. */
typedef enum ckiti_stored_verdict {
    CKITI_STORED_KEEP = 0,  /* not ours to judge: a miss, overwritten by the next write */
    CKITI_STORED_DELETE = 1 /* damaged, or written by another serializer: a miss, and the entry is to be deleted */
} ckiti_stored_verdict;

/* Appends to `out` the stored value of a MessagePack document for the serializer "default". With `integrity` the
 * document travels in an envelope, compressed at `compression_level` (as in ckit_envelope_options); without, bare.
 * `max_stored_bytes` bounds what is appended (0 = no bound but the envelope's). A failure leaves out->len as it was.
 *
 * CKIT_E_TOO_LARGE, CKIT_E_CONFIGURATION (the level), CKIT_E_NO_MEMORY. */
ckit_status ckiti_stored_seal(ckit_slice document, bool integrity, int compression_level, uint64_t max_stored_bytes,
                              ckit_buf *out, ckit_error *err);

/* Appends to `document` the document of a stored value; the document itself is not parsed. `*verdict` is always set.
 *
 * `integrity_expected` is the reader's own setting. With it the payload must be an envelope, whatever the unprotected
 * header says, so that no damage can pass off other bytes as the document; without it the header's word counts.
 * `max_bytes` bounds the document (0 = CKIT_ENVELOPE_MAX_BYTES).
 *
 *   status                                        verdict
 *   CKIT_OK                                       KEEP
 *   malformed frame: CKIT_E_DECODE, _TRUNCATED    KEEP
 *   corrupt or suspicious frame, another serializer or format: CKIT_E_DECODE    DELETE
 *   a failure of the envelope of kind CORRUPT     DELETE
 *   CKIT_E_UNSUPPORTED (the entry is encrypted), CKIT_E_TOO_LARGE, CKIT_E_NO_MEMORY    KEEP
 *
 * A failure leaves document->len as it was. */
ckit_status ckiti_stored_open(ckit_slice stored, bool integrity_expected, uint64_t max_bytes, ckit_buf *document,
                              ckiti_stored_verdict *verdict, ckit_error *err);

/* Both halves of that for a frame that is parsed already. CKIT_E_DECODE when it is another serializer's,
 * CKIT_E_UNSUPPORTED when it is encrypted. */
ckit_status ckiti_stored_check(const ckit_frame *frame, ckit_error *err);
/* Checks it, and appends the document in frame->payload. */
ckit_status ckiti_stored_open_payload(const ckit_frame *frame, bool integrity_expected, uint64_t max_bytes,
                                      ckit_buf *document, ckit_error *err);

#endif
