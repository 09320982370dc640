/* format/key_of_hash.h - the automatic key of a call of which only the hash of its arguments is known. */
#ifndef CKITI_FORMAT_KEY_OF_HASH_H
#define CKITI_FORMAT_KEY_OF_HASH_H

#include <cachekit/key.h>

/* What ckit_key_from_prefix makes of arguments with this hash, appended to `out`. CKIT_E_MISUSE when it is not 64
 * lower-case hexadecimal digits; CKIT_E_NO_MEMORY. */
ckit_status ckiti_key_of_hash(const ckit_key_prefix *prefix, ckit_slice hash, ckit_buf *out, ckit_error *err);

#endif
