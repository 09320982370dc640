/* secret.h - the key under which `cachekit run` seals answers, the names that they have, and sealing itself. */
#ifndef CKIT_CLI_RUN_SECRET_H
#define CKIT_CLI_RUN_SECRET_H

#include <cachekit/error.h>
#include <cachekit/open.h>
#include <cachekit/seal.h>
#include <cachekit/types.h>

/* The keys of the environment (CACHEKIT_MASTER_KEY and so on), else those of the user's own file,
 * $XDG_CONFIG_HOME/cachekit/run.key, which is made when it is not there. As ckit_keyring_open. */
ckit_status run_secret_open(ckit_keyring **ring, ckit_error *err);

/* What run_secret_open would say, without making anything. `file` is the key file that it would read, and empty when
 * the keys stand in the environment. CKIT_MISS: the file is not there yet. */
#define RUN_SECRET_PATH 4096
ckit_status run_secret_look(char file[RUN_SECRET_PATH], ckit_error *err);

/* The keys of the environment, else of the user's own file where it is there, and for whom they seal. CKIT_MISS:
 * neither. */
ckit_status run_secret_ring(ckit_keyring **ring, char deployment[CKIT_DEPLOYMENT_TEXT], ckit_error *err);

/* What other commands show of a sealed value: opened with the keys of the environment, or of the user's own file where
 * there is one. `whose` is the tenant that was asked for, NULL where none was; `key` may have a tenant's prefix. Appended
 * to `out`. CKIT_E_AUTH_TAG: it was altered or moved, also from another tenant; CKIT_E_UNSUPPORTED: no key opens it; or
 * what is wrong with the keys of the environment. */
ckit_status run_secret_reveal(const char *whose, ckit_slice key, ckit_slice sealed, ckit_buf *out, ckit_error *err);

/* A value as programs with these keys store it (ckit_cache_set): a frame becomes an encrypted one, other bytes are
 * sealed bare. Appended to `out`. */
ckit_status run_secret_seal_as_programs(ckit_keyring *ring, const char *whose, ckit_slice key, ckit_slice clear,
                                        ckit_buf *out, ckit_error *err);
/* Opens bare bytes with the keys of the environment; `whose` NULL: the deployment's. Appended to `out`. CKIT_MISS:
 * there are no keys, or too few bytes; CKIT_E_AUTH_TAG: not sealed, or not for them; or what is wrong with the keys. */
ckit_status run_secret_reveal_bare(const char *whose, ckit_slice key, ckit_slice sealed, ckit_buf *out,
                                   ckit_error *err);

/* Replaces the hash in an automatic key by one that only holders of the key can make: who reads the store cannot try
 * out which command it belongs to. */
ckit_status run_secret_name(ckit_keyring *ring, ckit_buf *key, ckit_error *err);

/* From a stored value in the clear to the sealed one that is kept under `key`, and back. Appended to `out`. */
ckit_status run_secret_seal(ckit_keyring *ring, ckit_slice key, ckit_slice clear, ckit_buf *out, ckit_error *err);
ckit_status run_secret_unseal(ckit_keyring *ring, ckit_slice key, ckit_slice sealed, ckit_buf *out, ckit_error *err);

#endif
