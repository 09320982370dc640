/* format/sealed_head.h - how sealed values begin that this library writes most: documents of the serializer "default" in
 * an envelope, sealed with one key. Everything up to the nonce is the same for all of them. */
#ifndef CKITI_FORMAT_SEALED_HEAD_H
#define CKITI_FORMAT_SEALED_HEAD_H

#include <cachekit/buf.h>
#include <cachekit/frame.h>
#include <cachekit/seal.h>

#define CKITI_SEALED_ALGORITHM "AES-256-GCM"

/* The frame of such a value; the payload is missing. */
static inline ckit_frame ckiti_sealed_default_frame(ckit_slice tenant, ckit_slice fingerprint) {
    const ckit_slice msgpack = ckit_slice_of("msgpack", 7);
    return (ckit_frame){.serializer = ckit_slice_of("default", 7),
                        .format = msgpack,
                        .original_type = msgpack,
                        .has_original_type = true,
                        .compressed = true,
                        .encrypted = true,
                        .tenant_id = tenant,
                        .encryption_algorithm =
                            ckit_slice_of(CKITI_SEALED_ALGORITHM, sizeof CKITI_SEALED_ALGORITHM - 1),
                        .key_fingerprint = fingerprint};
}

/* What is authenticated of it. */
static inline ckit_seal_subject ckiti_sealed_default_subject(ckit_slice tenant, ckit_slice key) {
    const ckit_slice msgpack = ckit_slice_of("msgpack", 7);
    return (ckit_seal_subject){
        .tenant = tenant, .key = key, .format = msgpack, .original_type = msgpack, .compressed = true};
}

#endif
