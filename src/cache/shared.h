/* cache/shared.h - one document that several callers hold: the leader of a flight and everybody who waited. */
#ifndef CKITI_CACHE_SHARED_H
#define CKITI_CACHE_SHARED_H

#include <cachekit/types.h>

typedef struct ckiti_shared ckiti_shared;

/* Takes the buffer's bytes (the buffer is left empty). NULL when there is no memory: the buffer is untouched. */
ckiti_shared *ckiti_shared_take(ckit_buf *document);
ckit_slice    ckiti_shared_bytes(const ckiti_shared *shared);
/* Fills an empty value: a copy when it is small, else one more holder. From any thread. */
void ckiti_shared_lend(ckiti_shared *shared, ckit_value *out);
/* Gives up one hold. Accepts NULL. */
void ckiti_shared_release(ckiti_shared *shared);

#endif
