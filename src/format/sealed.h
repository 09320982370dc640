/* format/sealed.h - encrypted values as they lie in a store: "CK" frame, then nonce, ciphertext and tag of the payload.
 *
 * Values without a frame (interop) need nothing of this page: they are what ckit_seal makes.
 *
 * A frame's header is not authenticated as such. Tenant, format, compression and original type are, because they are
 * part of the subject; everything else of it must be exactly what a writer emits, so that no change of it goes
 * unnoticed.
 *
 * Any thread, no blocking. */
#ifndef CKITI_FORMAT_SEALED_H
#define CKITI_FORMAT_SEALED_H

#include <cachekit/frame.h>
#include <cachekit/seal.h>

/* What is to be said about an entry that does not open. What follows from it is a policy of the reader. */
typedef enum ckiti_sealed_class {
    CKITI_SEALED_READABLE = 0,
    CKITI_SEALED_MALFORMED = 1,      /* not a frame we know: nobody can tell whose it is */
    CKITI_SEALED_AUTHENTICATION = 2, /* altered, moved, another tenant's, or sealed with a key we do not have */
    CKITI_SEALED_SUSPICIOUS = 3,     /* claims to be in the clear, or its header is not what any writer emits */
    CKITI_SEALED_CORRUPT = 4,        /* damaged or another serializer's, authentic or not */
    CKITI_SEALED_LOCAL = 5           /* our own trouble, of memory, limits or configuration: the entry may be good */
} ckiti_sealed_class;

/* Whose entry, under which logical key. */
typedef struct ckiti_sealed_place {
    ckit_keyring *ring;
    ckit_slice tenant; /* for writing. For reading: the only one accepted; empty accepts the one that the frame names */
    ckit_slice key;
    ckit_slice likely; /* for reading with an empty tenant: whose entries most are. They are read faster, no more */
} ckiti_sealed_place;

/* What becomes of a frame in the clear when it is sealed can be read: writers of encrypted frames know but one
 * encoding, which is not protected otherwise, and a serializer has a name. */
bool ckiti_sealed_can_write(const ckit_frame *frame);

/* Appends the stored value of a frame whose payload is still in the clear; tenant, algorithm and fingerprint are filled
 * in. `max_stored_bytes` bounds what is appended (0 = no bound but the format's). A failure leaves out->len as it was,
 * and no plaintext behind it.
 *
 * As ckit_seal and ckit_frame_write; CKIT_E_TOO_LARGE also beyond the bound. */
ckit_status ckiti_sealed_write(const ckiti_sealed_place *place, const ckit_frame *frame, uint64_t max_stored_bytes,
                               ckit_buf *out, ckit_error *err);

/* The same for a MessagePack document and the serializer "default", as ckiti_stored_seal. */
ckit_status ckiti_sealed_seal(const ckiti_sealed_place *place, ckit_slice document, bool integrity,
                              int compression_level, uint64_t max_stored_bytes, ckit_buf *out, ckit_error *err);

/* Reads the frame of a stored value and appends its payload, decrypted, to `payload`; frame->payload becomes a slice of
 * that. The other slices point into `stored` or `scratch`, as for ckit_frame_parse. The serializer's name is protected
 * by nothing: compare it. `*cls` is always set. A failure leaves payload->len as it was.
 *
 *   class           status
 *   READABLE        CKIT_OK
 *   MALFORMED       CKIT_E_DECODE, _TRUNCATED
 *   AUTHENTICATION  CKIT_E_AUTH_TAG
 *   SUSPICIOUS      CKIT_E_DECODE
 *   CORRUPT         CKIT_E_DECODE
 *   LOCAL           all others */
ckit_status ckiti_sealed_read(const ckiti_sealed_place *place, ckit_slice stored, uint64_t max_bytes, ckit_frame *frame,
                              ckit_buf *payload, ckit_buf *scratch, ckiti_sealed_class *cls, ckit_error *err);

/* The same, appended to `plain` as a frame in the clear. */
ckit_status ckiti_sealed_read_frame(const ckiti_sealed_place *place, ckit_slice stored, uint64_t max_bytes,
                                    ckit_buf *plain, ckiti_sealed_class *cls, ckit_error *err);

/* The same for a document of the serializer "default", as ckiti_stored_open; CORRUPT also with the failures of an
 * envelope. */
ckit_status ckiti_sealed_open(const ckiti_sealed_place *place, ckit_slice stored, bool integrity_expected,
                              uint64_t max_bytes, ckit_buf *document, ckiti_sealed_class *cls, ckit_error *err);

#endif
