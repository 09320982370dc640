/* format/seal_source.h - keys that lie in a file, or that a provider hands over, on their way into a ring. */
#ifndef CKITI_FORMAT_SEAL_SOURCE_H
#define CKITI_FORMAT_SEAL_SOURCE_H

#include <cachekit/seal.h>

typedef struct ckiti_key_source {
    char                    *text; /* secret memory */
    const ckit_key_provider *provider;
    ckit_keyring_options     handed; /* what the provider filled */
} ckiti_key_source;

/* Fills the keys of `options` from its key_file or provider, where it names one. End it in every case, when the keys
 * are in the ring. */
ckit_status ckiti_key_source_begin(ckiti_key_source *source, ckit_keyring_options *options, ckit_error *err);
/* Wipes what came. */
void ckiti_key_source_end(ckiti_key_source *source);

#endif
