/* format/reseal.h - a stored value sealed anew, with the current key of a ring.
 *
 * Any thread, no blocking. */
#ifndef CKITI_FORMAT_RESEAL_H
#define CKITI_FORMAT_RESEAL_H

#include <cachekit/seal.h>

typedef enum ckiti_reseal_found {
    CKITI_RESEAL_DONE = 0,    /* a previous key had sealed it */
    CKITI_RESEAL_CURRENT = 1, /* the current key has. Not opened where its header says so */
    CKITI_RESEAL_CLEAR = 2,   /* not sealed; or bytes without a header that no key of the ring opens */
    CKITI_RESEAL_UNKNOWN = 3, /* its header names a key that the ring does not have */
    CKITI_RESEAL_DAMAGED = 4  /* does not open with the key that it names, or its header is none that a writer makes */
} ckiti_reseal_found;

/* What the store has under `stored_key`, which may begin with one "t:TENANT:" or two: what a store puts in front, and
 * whose call it was. Bytes without a header are taken for the deployment's (or that tenant's).
 *
 * CKIT_OK with *found; after DONE the new value has been appended to `out`, about as long as the old one. Other
 * statuses are our own trouble, and nothing is known about the value: as ckit_seal. A failure leaves out->len as it
 * was. */
ckit_status ckiti_reseal(ckit_keyring *ring, ckit_slice deployment, ckit_slice stored_key, ckit_slice stored,
                         ckit_buf *out, ckiti_reseal_found *found, ckit_error *err);

#endif
