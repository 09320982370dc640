/* config/keys.h - keys and deployment of a cache, from the environment. */
#ifndef CKITI_CONFIG_KEYS_H
#define CKITI_CONFIG_KEYS_H

#include "config/plan.h"

#include <cachekit/seal.h>

#define CKITI_UUID_DIGITS 36

/* What was found; the plan's options point at it. */
typedef struct ckiti_keys {
    ckit_keyring *ring; /* made here; a cache over it holds it itself */
    char          deployment[CKITI_UUID_DIGITS + 1];
} ckiti_keys;

/* Completes the keyring, deployment_id and deployment_only of the plan's options, where the caller left them open:
 *
 *   CACHEKIT_MASTER_KEY, CACHEKIT_PREVIOUS_MASTER_KEYS, or CACHEKIT_MASTER_KEY_FILE instead of both
 *   CACHEKIT_DEPLOYMENT_UUID, else ~/.cachekit/deployment_uuid, which is made when it is not there
 *
 * Without a key nothing is looked for. As ckit_keyring_open; CKIT_E_CONFIGURATION. After a failure nothing is held. */
ckit_status ckiti_keys_open(ckiti_keys *keys, ckiti_plan *plan, const char *const *environment, ckit_error *err);

/* The UUID in lower case with hyphens; false when the text is none. */
bool ckiti_uuid_parse(ckit_slice text, char out[CKITI_UUID_DIGITS + 1]);

#endif
