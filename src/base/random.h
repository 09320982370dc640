/* base/random.h - unpredictable bytes from the system. */
#ifndef CKITI_BASE_RANDOM_H
#define CKITI_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Never fails: libsodium aborts the process where the system has no randomness. Safe after fork. */
void     ckiti_random_bytes(void *out, size_t len);
uint64_t ckiti_random_u64(void);

#endif
