/* cache/shared.h - one result that several callers hold: the leader of a flight and everybody who waited. */
#ifndef CKITI_CACHE_SHARED_H
#define CKITI_CACHE_SHARED_H

#include <cachekit/types.h>

typedef struct ckiti_shared ckiti_shared;

/* Takes the buffer's bytes (the buffer is left empty), which came from `alloc`, wherever the buffer grew. `secret`:
 * wiped when nobody holds them any more. NULL when there is no memory: the buffer is untouched. */
ckiti_shared *ckiti_shared_take(ckit_buf *document, const ckit_alloc *alloc, bool secret);
/* Takes an object: it is released when nobody holds it any more. NULL when there is no memory: nothing is taken. */
ckiti_shared *ckiti_shared_object(const ckit_object *object, const ckit_alloc *alloc);
/* One more hold, in the form that the memory tier keeps: its `release` gives the hold up. */
ckit_object ckiti_shared_hold(ckiti_shared *shared);
/* Fills an empty value: a copy when it is small, else one more holder. From any thread. */
void ckiti_shared_lend(ckiti_shared *shared, ckit_value *out);
/* Fills an empty value with what another one that was lent holds. False when that was not lent by this page. */
bool ckiti_shared_lend_again(const ckit_value *lent, ckit_value *out);
/* Gives up one hold. Accepts NULL. */
void ckiti_shared_release(ckiti_shared *shared);

/* Takes an object for one caller alone; needs no memory. */
void ckiti_lend_object(const ckit_object *object, ckit_value *out);

#endif
