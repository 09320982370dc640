/* config/environment.h - "NAME=value" texts, and the variables that are known without being settings. */
#ifndef CKITI_CONFIG_ENVIRONMENT_H
#define CKITI_CONFIG_ENVIRONMENT_H

#include <cachekit/types.h>

/* What to read: `given`, or the process's own when it is NULL; that is taken for empty in a program that runs with more
 * rights than its user has. */
const char *const *ckiti_environment(const char *const *given);

/* The value of a variable; NULL when it is not set or empty. */
const char *ckiti_variable(const char *const *environment, const char *name);

/* The variables of the CacheKit family that choose a store. */
typedef struct ckiti_selector {
    const char *variable;
    const char *store; /* "Redis": for people */
    bool        supported;
} ckiti_selector;
#define CKITI_SELECTOR_COUNT 4
extern const ckiti_selector ckiti_selectors[CKITI_SELECTOR_COUNT];

/* Variables that the CacheKit family knows and this library has no use for; NULL ends the list. */
extern const char *const ckiti_idle_variables[];

#define CKITI_MASTER_KEY_VARIABLE "CACHEKIT_MASTER_KEY"
#define CKITI_PREVIOUS_KEYS_VARIABLE "CACHEKIT_PREVIOUS_MASTER_KEYS"
#define CKITI_KEY_FILE_VARIABLE "CACHEKIT_MASTER_KEY_FILE"
#define CKITI_DEPLOYMENT_VARIABLE "CACHEKIT_DEPLOYMENT_UUID"
/* Where guards tell other processes how they are (guard.h: status_dir). */
#define CKITI_STATUS_VARIABLE "CACHEKIT_STATUS_DIR"
#define CKITI_FILE_VARIABLE "CACHEKIT_FILE_CACHE_DIR"
#define CKITI_OWN_REDIS_VARIABLE "CACHEKIT_REDIS_URL"
/* Other programs read it too, so it never stands against one of the selectors. */
#define CKITI_REDIS_VARIABLE "REDIS_URL"

/* The default directory of a file store: $TMPDIR/cachekit when that is ours or absent, else cachekit-UID beside it.
 * /tmp when TMPDIR is not an absolute path. False when the path is longer than `size`. */
bool ckiti_default_directory(const char *const *environment, char *path, size_t size);

#endif
