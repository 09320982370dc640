/* format/seal_nonce.h - numbers that are used once.
 *
 * 96 random bits, and then one more each time. Two sources meet only when their random beginnings lie closer together
 * than they count: for a million sources of 2^32 values each that is 2^-24, for 2^32 sources of one value 2^-33. Drawn
 * anew in the child of a fork. None begins like a frame ("CK" and the version), by which readers tell frames from bare
 * sealed bytes. Any thread. */
#ifndef CKITI_FORMAT_SEAL_NONCE_H
#define CKITI_FORMAT_SEAL_NONCE_H

#include <cachekit/error.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct ckiti_nonce_page ckiti_nonce_page;

typedef struct ckiti_nonces {
    /* Lies in a page that the kernel empties in a child, however that came to be: also where no hook ran. */
    ckiti_nonce_page *page;
    pthread_mutex_t   lock; /* held while the beginning is drawn. A leaf */
} ckiti_nonces;

/* CKIT_E_NO_MEMORY */
ckit_status ckiti_nonces_init(ckiti_nonces *nonces, ckit_error *err);
/* Accepts zeroed memory. */
void ckiti_nonces_fini(ckiti_nonces *nonces);

void ckiti_nonces_next(ckiti_nonces *nonces, uint8_t out[12]);
/* Neither this beginning nor the one after it, which comes when the low word runs over, is a frame's. */
static inline bool ckiti_nonce_may_begin(uint32_t high) {
    return high >> 8 != UINT32_C(0x434b03) && (high + 1) >> 8 != UINT32_C(0x434b03);
}

/* Around a fork. */
void ckiti_nonces_before_fork(ckiti_nonces *nonces);
void ckiti_nonces_in_parent(ckiti_nonces *nonces);
void ckiti_nonces_in_child(ckiti_nonces *nonces);

#endif
