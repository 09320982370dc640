/* cache/sealing_fixture.h - caches that seal what they keep: a key ring, a function, and others over the same store. */
#ifndef CKITI_CACHE_SEALING_FIXTURE_H
#define CKITI_CACHE_SEALING_FIXTURE_H

#include "cache/cache_fixture.h"

#include <cachekit/seal.h>

#define KEY_A "6161616161616161616161616161616161616161616161616161616161616161"
#define KEY_B "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define TENANT "00000000-0000-0000-0000-000000000001"
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Writes nothing: key rings without a log of their own write to standard error. */
extern const ckit_log quiet_log;

/* A ring of these keys in hex (`previous` may be NULL) that logs nothing. */
ckit_keyring *ring_of(const char *current, const char *previous);

/* A cache with encryption on, KEY_A, and a function "test.load" of namespace "n", whose values are 300 bytes that tell
 * of the number 4711. */
typedef struct vault {
    fixture        f;
    ckit_keyring  *ring;
    loader         l;
    ckit_function *fn;
} vault;

/* `store` false: memory only. In two steps: the options of the cache (v->f.options) may be changed between. */
void vault_open(vault *v, bool store);
void vault_prepare(vault *v);
void vault_start(vault *v, bool store);
void vault_close(vault *v);
/* Options of a function of namespace "n". */
ckit_function_options one_function(void);

/* The call of 1 in memory, as it lies there: looked at, and replaced. */
void vault_look(const vault *v, ckit_value *out);
void vault_plant(const vault *v, ckit_slice bytes);

/* A second cache over the same store, with a function of the same name. */
typedef struct other {
    ckit_cache    *cache;
    ckit_function *fn;
} other;

other other_of(vault *v, const ckit_cache_options *options);
void  other_close(other *o);

/* The bytes contain sixteen times `repeated`, as a value of the loader does in the clear. */
bool contains(ckit_slice bytes, uint8_t repeated);

#endif
