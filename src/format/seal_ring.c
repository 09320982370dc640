/* format/seal_ring.c - opening and closing key rings. */
#include "format/seal_ring.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/misuse.h"
#include "format/seal_source.h"

#include <cachekit/buf.h>
#include <sodium.h>

#define PATH_SHOWN 96u
#define WHERE "key ring"
#define DEFAULT_TENANTS 256u
#define LEAST_TENANTS 16u
#define MOST_TENANTS 65536u
/* Below this length OpenSSL's way to its first byte costs more than it saves. */
#define SMALL 320u
#define GROW_AFTER (UINT64_C(4) << 20) /* bytes: OpenSSL saves 0.4 ms in each MiB, and loading it costs 2.4 ms */

void ckit_keyring_options_init(ckit_keyring_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

static ckit_status settle(const ckit_keyring_options *given, ckit_keyring_options *options, ckit_error *err) {
    *options = (ckit_keyring_options)CKIT_KEYRING_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(options, given, given->struct_size < sizeof *options ? given->struct_size : sizeof *options);
    }
    if (options->max_tenants == 0) {
        options->max_tenants = DEFAULT_TENANTS;
    }
    if (options->max_tenants < LEAST_TENANTS || options->max_tenants > MOST_TENANTS) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "max_tenants is %u, allowed are %u to %u",
                         options->max_tenants, LEAST_TENANTS, MOST_TENANTS);
    }
    if (options->max_seals_per_key == 0) {
        options->max_seals_per_key = CKIT_SEAL_MAX_PER_KEY;
    }
    if (options->max_seals_per_key > CKIT_SEAL_MAX_PER_KEY) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "max_seals_per_key is %llu, at most %llu are allowed",
                         (unsigned long long)options->max_seals_per_key, (unsigned long long)CKIT_SEAL_MAX_PER_KEY);
    }
    if ((unsigned)options->cipher > CKIT_SEAL_CIPHER_OPENSSL) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "there is no cipher %d", (int)options->cipher);
    }
    return CKIT_OK;
}

/* ---- keys as they are given --------------------------------------------------------------------------------- */

typedef struct given_key {
    ckit_slice  source;
    bool        hex;
    const char *name; /* for people */
} given_key;

/* At most one more than are allowed. */
typedef struct given_keys {
    given_key keys[CKITI_RING_KEYS + 1];
    unsigned  count;
    bool      has_current;
} given_keys;

static bool is_blank(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

static ckit_slice trimmed(ckit_slice text) {
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

static int digit(uint8_t byte) {
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

size_t ckiti_hex_decode(ckit_slice text, uint8_t *out) {
    size_t count = 0;
    for (size_t i = 0; i < text.len;) {
        if (is_blank(text.ptr[i])) {
            i++;
            continue;
        }
        const int high = digit(text.ptr[i]);
        const int low = i + 1 < text.len ? digit(text.ptr[i + 1]) : -1;
        if (high < 0 || low < 0) {
            return SIZE_MAX;
        }
        if (out != NULL) {
            out[count] = (uint8_t)(high << 4 | low);
        }
        count++;
        i += 2;
    }
    return count;
}

static void add(given_keys *given, ckit_slice source, bool hex) {
    static const char *const names[] = {"the master key", "previous key 1", "previous key 2", "previous key 3",
                                        "previous key 4"};
    if (given->count <= CKITI_RING_KEYS) {
        given->keys[given->count] = (given_key){source, hex, names[given->count]};
        given->count++;
    }
}

static void add_list(given_keys *given, ckit_slice list) {
    while (list.len > 0) {
        const uint8_t   *comma = memchr(list.ptr, ',', list.len);
        const size_t     len = comma == NULL ? list.len : (size_t)(comma - list.ptr);
        const ckit_slice item = trimmed(ckit_slice_of(list.ptr, len));
        if (item.len > 0) {
            add(given, item, true);
        }
        list.ptr += comma == NULL ? len : len + 1;
        list.len -= comma == NULL ? len : len + 1;
    }
}

/* Looks at what was given; decodes nothing. */
static ckit_status collect(const ckit_keyring_options *options, given_keys *given, ckit_error *err) {
    const ckit_slice current = trimmed(ckit_slice_str(options->master_key_hex));
    const ckit_slice previous = trimmed(ckit_slice_str(options->previous_keys_hex));
    if ((current.len > 0 && options->master_key.len > 0) || (previous.len > 0 && options->previous_count > 0)) {
        return ckit_fail(err, CKIT_E_MISUSE, WHERE, "keys are given as bytes and as text");
    }
    given->has_current = current.len > 0 || options->master_key.len > 0;
    add(given, current.len > 0 ? current : options->master_key, current.len > 0);
    for (size_t i = 0; i < options->previous_count && given->count <= CKITI_RING_KEYS; i++) {
        add(given, options->previous_keys[i], false);
    }
    add_list(given, previous);
    if (given->count > CKITI_RING_KEYS) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "more than %u previous keys: drop those that nothing needs",
                         CKIT_PREVIOUS_KEYS_MAX);
    }
    if (given->count == 1 && !given->has_current) {
        return ckit_fail(err, CKIT_E_NO_MASTER_KEY, WHERE,
                         "no master key: set CACHEKIT_MASTER_KEY, or make one with "
                         "`cachekit keygen`");
    }
    return CKIT_OK;
}

static ckit_status measure(const given_key *key, size_t *len, ckit_error *err) {
    *len = key->hex ? ckiti_hex_decode(key->source, NULL) : key->source.len;
    if (*len == SIZE_MAX) {
        return ckit_fail(err, CKIT_E_BAD_MASTER_KEY, WHERE,
                         "%s is not hexadecimal: it must be at least 64 digits 0-9 and a-f, two for each byte, "
                         "as `cachekit keygen` makes",
                         key->name);
    }
    if (*len < CKIT_MASTER_KEY_MIN_BYTES || *len > CKIT_MASTER_KEY_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_BAD_MASTER_KEY, WHERE,
                         "%s has %zu bytes, allowed are %u (64 hexadecimal digits) to %u; `cachekit keygen` makes one",
                         key->name, *len, CKIT_MASTER_KEY_MIN_BYTES, CKIT_MASTER_KEY_MAX_BYTES);
    }
    return CKIT_OK;
}

/* ---- into the ring ------------------------------------------------------------------------------------------ */

static bool is_weak(ckit_slice key) {
    uint8_t differs = 0;
    for (size_t i = 1; i < key.len; i++) {
        differs |= (uint8_t)(key.ptr[i] ^ key.ptr[0]);
    }
    return differs == 0;
}

static ckit_status judge(const ckit_keyring *ring, const given_keys *given, const ckit_log *log, ckit_error *err) {
    for (unsigned i = ring->first; i < ring->count; i++) {
        for (unsigned k = i + 1; k < ring->count; k++) {
            if (ckiti_same_bytes(ring->masters[i], ring->masters[k])) {
                return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "%s and %s are the same%s", given->keys[i].name,
                                 given->keys[k].name, i == 0 ? ": a retired key cannot be the current one" : "");
            }
        }
        if (is_weak(ring->masters[i])) {
            ckiti_log(log, CKIT_LOG_WARNING, WHERE, "all bytes of %s are equal: it is easily guessed",
                      given->keys[i].name);
        }
    }
    return CKIT_OK;
}

static ckit_status take_keys(ckit_keyring *ring, const ckit_keyring_options *options, ckit_error *err) {
    given_keys  given = {.count = 0};
    size_t      len[CKITI_RING_KEYS] = {0}, total = 0;
    ckit_status st = collect(options, &given, err);
    ring->first = given.has_current ? 0 : 1;
    ring->count = given.count;
    for (unsigned i = ring->first; st == CKIT_OK && i < ring->count; i++) {
        st = measure(&given.keys[i], &len[i], err);
        total += len[i];
    }
    if (st != CKIT_OK) {
        return st;
    }
    ring->secret_size = (total + 63) / 64 * 64;
    ring->secret = ckiti_secret_alloc(ring->secret_size);
    if (ring->secret == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for keys");
    }
    uint8_t *at = ring->secret;
    for (unsigned i = ring->first; i < ring->count; i++) {
        if (given.keys[i].hex) {
            (void)ckiti_hex_decode(given.keys[i].source, at);
        } else {
            memcpy(at, given.keys[i].source.ptr, len[i]);
        }
        ring->masters[i] = ckit_slice_of(at, len[i]);
        at += len[i];
    }
    (void)sodium_mprotect_readonly(ring->secret);
    return judge(ring, &given, options->log, err);
}

/* ---- ciphers ------------------------------------------------------------------------------------------------ */

static ckit_status load_openssl(ckit_keyring *ring, ckit_error *err) {
    void       *lib;
    ckit_status st = ckiti_cipher_openssl.load(ring->alloc, &lib, err);
    if (st == CKIT_OK) {
        atomic_store_explicit(&ring->openssl, lib, memory_order_release);
    }
    return st;
}

static ckit_status choose_cipher(ckit_keyring *ring, ckit_seal_cipher cipher, ckit_error *err) {
    void *nothing;
    ring->with_sodium = cipher != CKIT_SEAL_CIPHER_OPENSSL && ckiti_cipher_sodium_available();
    ring->may_grow = cipher == CKIT_SEAL_CIPHER_AUTO && ring->with_sodium;
    if (ring->with_sodium) {
        return CKIT_OK;
    }
    return cipher == CKIT_SEAL_CIPHER_SODIUM ? ckiti_cipher_sodium.load(ring->alloc, &nothing, err)
                                             : load_openssl(ring, err);
}

/* One thread loads, the others go on with what there is. Without OpenSSL it stays so: nothing is wrong then. */
static void grow(ckit_keyring *ring, size_t len) {
    if (atomic_fetch_add_explicit(&ring->bytes, len, memory_order_relaxed) + len > GROW_AFTER &&
        !atomic_exchange_explicit(&ring->grown, true, memory_order_relaxed)) {
        (void)load_openssl(ring, NULL);
    }
}

const ckiti_cipher_ops *ckiti_ring_cipher(ckit_keyring *ring, size_t len, void **self) {
    if (ring->may_grow && len < SMALL) {
        *self = NULL;
        return &ckiti_cipher_sodium;
    }
    *self = atomic_load_explicit(&ring->openssl, memory_order_acquire);
    if (*self == NULL && ring->may_grow && !atomic_load_explicit(&ring->grown, memory_order_relaxed)) {
        grow(ring, len);
        *self = atomic_load_explicit(&ring->openssl, memory_order_acquire);
    }
    return *self != NULL ? &ckiti_cipher_openssl : &ckiti_cipher_sodium;
}

/* ---- forks -------------------------------------------------------------------------------------------------- */

static void before_fork(void *self) {
    ckit_keyring *ring = self;
    pthread_mutex_lock(&ring->lock);
    ckiti_nonces_before_fork(&ring->nonces);
}

static void in_parent(void *self) {
    ckit_keyring *ring = self;
    ckiti_nonces_in_parent(&ring->nonces);
    pthread_mutex_unlock(&ring->lock);
}

static void in_child(void *self) {
    ckit_keyring *ring = self;
    ckiti_nonces_in_child(&ring->nonces);
    ckiti_secret_lock_again(ring->secret, ring->secret_size);
    ckiti_tenants_in_child(ring);
    pthread_mutex_unlock(&ring->lock);
}

/* ---- the ring ----------------------------------------------------------------------------------------------- */

static ckit_status open_ring(const ckit_keyring_options *options, ckit_keyring **out, ckit_error *err) {
    ckit_status   st;
    ckit_keyring *ring = ckiti_alloc_zeroed(options->alloc, 1, sizeof *ring);
    if (ring == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", sizeof *ring);
    }
    ring->alloc = options->alloc;
    atomic_init(&ring->holders, 1);
    ring->max_tenants = options->max_tenants;
    ring->max_sealed = options->max_seals_per_key;
    pthread_mutex_init(&ring->lock, NULL);
    if ((st = take_keys(ring, options, err)) != CKIT_OK ||
        (st = choose_cipher(ring, options->cipher, err)) != CKIT_OK ||
        (st = ckiti_tenants_init(ring, err)) != CKIT_OK || (st = ckiti_nonces_init(&ring->nonces, err)) != CKIT_OK) {
        ckit_keyring_close(ring);
        return st;
    }
    ring->hooks = (ckiti_fork_hooks){.prepare = before_fork, .parent = in_parent, .child = in_child, .self = ring};
    ckiti_fork_register(&ring->hooks);
    *out = ring;
    return CKIT_OK;
}

/* What is wrong with keys of a file is said with its name, or the end of a long one. */
static void name_file(ckit_error *err, const ckit_error *why, const char *path) {
    size_t length = strlen(path);
    size_t skipped = length > PATH_SHOWN ? length - PATH_SHOWN : 0;
    (void)ckit_fail(err, why->status, why->where, "the key file %s%s: %s", skipped > 0 ? "..." : "", path + skipped,
                    why->text);
}

ckit_status ckit_keyring_open(const ckit_keyring_options *given, ckit_keyring **out, ckit_error *err) {
    ckit_keyring_options options;
    ckiti_key_source     source;
    if (out == NULL) {
        return ckiti_there_is_no(err, WHERE, "place for the keyring");
    }
    *out = NULL;
    ckit_status st = settle(given, &options, err);
    if (st != CKIT_OK) {
        return st;
    }
    st = ckiti_key_source_begin(&source, &options, err);
    if (st == CKIT_OK) {
        ckit_error why = CKIT_ERROR_INIT;
        st = open_ring(&options, out, &why);
        if (st != CKIT_OK && options.key_file != NULL) {
            name_file(err, &why, options.key_file);
        } else if (st != CKIT_OK && err != NULL) {
            *err = why;
        }
    }
    ckiti_key_source_end(&source);
    return st;
}

void ckiti_keyring_hold(ckit_keyring *ring) {
    if (ring != NULL) {
        atomic_fetch_add_explicit(&ring->holders, 1, memory_order_relaxed);
    }
}

void ckit_keyring_close(ckit_keyring *ring) {
    if (ring == NULL || atomic_fetch_sub_explicit(&ring->holders, 1, memory_order_acq_rel) > 1) {
        return;
    }
    ckiti_fork_unregister(&ring->hooks);
    ckiti_tenants_fini(ring);
    ckiti_nonces_fini(&ring->nonces);
    ckiti_cipher_openssl.unload(ring->alloc, atomic_load_explicit(&ring->openssl, memory_order_acquire));
    ckiti_secret_free(ring->secret);
    pthread_mutex_destroy(&ring->lock);
    ckiti_free(ring->alloc, ring, sizeof *ring);
}

bool ckit_keyring_can_seal(const ckit_keyring *ring) { return ring != NULL && ring->first == 0; }
