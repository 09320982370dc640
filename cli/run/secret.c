#include "run/secret.h"

#include <cachekit/buf.h>
#include <cachekit/frame.h>
#include <cachekit/key.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES RUN_SECRET_PATH
#define KEY_BYTES 32u
#define KEY_DIGITS ((size_t)2 * KEY_BYTES)

static const char tenant[] = "cachekit.run";

/* ---- the key ---------------------------------------------------------------------------------------------------- */

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* As the XDG base directory specification has it. The part up to `*directory` is the directory. */
static bool own_file(char path[PATH_BYTES], size_t *directory) {
    const char *base = variable("XDG_CONFIG_HOME");
    const char *between = "";
    if (base == NULL || base[0] != '/') {
        base = variable("HOME");
        between = "/.config";
    }
    if (base == NULL || base[0] != '/') {
        return false;
    }
    int length = snprintf(path, PATH_BYTES, "%s%s/cachekit/run.key", base, between);
    *directory = (size_t)length - sizeof "/run.key" + 1;
    return length > 0 && (size_t)length < PATH_BYTES;
}

static void make_directories(char *path, size_t length) {
    path[length] = '\0';
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    (void)mkdir(path, 0700);
    path[length] = '/';
}

static bool write_key(int fd) {
    uint8_t key[KEY_BYTES];
    char    text[KEY_DIGITS + 2];
    bool    made = getentropy(key, sizeof key) == 0;
    (void)sodium_bin2hex(text, KEY_DIGITS + 1, key, sizeof key);
    text[KEY_DIGITS] = '\n';
    made = made && fchmod(fd, 0600) == 0 && write(fd, text, KEY_DIGITS + 1) == (ssize_t)(KEY_DIGITS + 1);
    sodium_memzero(key, sizeof key);
    sodium_memzero(text, sizeof text);
    return made;
}

/* Whole or not at all, and never over one that another process has made meanwhile. */
static ckit_status make_file(char *path, size_t directory, ckit_error *err) {
    char own[PATH_BYTES + 32];
    make_directories(path, directory);
    (void)snprintf(own, sizeof own, "%s.%ld", path, (long)getpid());
    int  fd = open(own, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool made = fd >= 0 && write_key(fd);
    int  failure = errno;
    if (fd >= 0) {
        made = close(fd) == 0 && made;
        made = made && (link(own, path) == 0 || errno == EEXIST);
        failure = made ? 0 : errno;
        (void)unlink(own);
    }
    return made ? CKIT_OK
                : ckit_fail_errno(err, CKIT_E_CONFIGURATION, failure, "run", "no key file can be made: %.300s", path);
}

/* `path` holds the name of the user's own file, where it is that one. */
static ckit_status find_keys(ckit_keyring_options *options, char path[PATH_BYTES], size_t *directory, bool *own,
                             ckit_error *err) {
    *options = (ckit_keyring_options)CKIT_KEYRING_OPTIONS_INIT;
    options->master_key_hex = variable("CACHEKIT_MASTER_KEY");
    options->previous_keys_hex = variable("CACHEKIT_PREVIOUS_MASTER_KEYS");
    options->key_file = variable("CACHEKIT_MASTER_KEY_FILE");
    *own = options->master_key_hex == NULL && options->key_file == NULL;
    if (options->key_file != NULL && (options->master_key_hex != NULL || options->previous_keys_hex != NULL)) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, "run",
                         "CACHEKIT_MASTER_KEY_FILE and %s both give keys: keep one of them",
                         options->master_key_hex != NULL ? "CACHEKIT_MASTER_KEY" : "CACHEKIT_PREVIOUS_MASTER_KEYS");
    }
    if (!*own) {
        return CKIT_OK;
    }
    if (!own_file(path, directory)) {
        return ckit_fail(err, CKIT_E_NO_MASTER_KEY, "run",
                         "there is no home directory for a key: set CACHEKIT_MASTER_KEY or HOME, or say --plain");
    }
    options->previous_keys_hex = NULL;
    options->key_file = path;
    return CKIT_OK;
}

ckit_status run_secret_open(ckit_keyring **ring, ckit_error *err) {
    ckit_keyring_options options;
    char                 path[PATH_BYTES];
    size_t               directory;
    bool                 own;
    ckit_status          st = find_keys(&options, path, &directory, &own, err);
    if (st == CKIT_OK && own && access(path, F_OK) != 0) {
        st = make_file(path, directory, err);
    }
    return st == CKIT_OK ? ckit_keyring_open(&options, ring, err) : st;
}

ckit_status run_secret_look(char file[RUN_SECRET_PATH], ckit_error *err) {
    ckit_keyring_options options;
    ckit_keyring        *ring = NULL;
    char                 path[PATH_BYTES];
    size_t               directory;
    bool                 own;
    ckit_status          st = find_keys(&options, path, &directory, &own, err);
    (void)snprintf(file, RUN_SECRET_PATH, "%s", st == CKIT_OK && options.key_file != NULL ? options.key_file : "");
    if (st == CKIT_OK && own && access(path, F_OK) != 0 && errno == ENOENT) {
        return CKIT_MISS;
    }
    st = st == CKIT_OK ? ckit_keyring_open(&options, &ring, err) : st;
    ckit_keyring_close(ring);
    return st;
}

ckit_status run_secret_ring(ckit_keyring **ring, char deployment[CKIT_DEPLOYMENT_TEXT], ckit_error *err) {
    ckit_keyring_options own = CKIT_KEYRING_OPTIONS_INIT;
    char                 path[PATH_BYTES];
    size_t               directory;
    ckit_status          st = ckit_keyring_from_environment(false, ring, deployment, err);
    if (st != CKIT_MISS) {
        return st;
    }
    (void)snprintf(deployment, CKIT_DEPLOYMENT_TEXT, "%s", tenant);
    own.key_file = path;
    return own_file(path, &directory) && access(path, F_OK) == 0 ? ckit_keyring_open(&own, ring, err) : CKIT_MISS;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The fingerprint of a tenant's key is a keyed hash of his name. Two of them are as long as the hash. */
ckit_status run_secret_name(ckit_keyring *ring, ckit_buf *key, ckit_error *err) {
    const ckit_key_parts parts = ckit_key_describe(ckit_buf_slice(key));
    char                 name[128], fingerprint[CKIT_FINGERPRINT_DIGITS + 1], digits[2][CKIT_FINGERPRINT_DIGITS];
    ckit_status          st = CKIT_OK;
    if (parts.hash.len != sizeof digits) { /* a long namespace: all of the key is one hash */
        return ckit_fail(err, CKIT_E_MISUSE, "run", "the namespace is too long for an encrypted answer");
    }
    uint8_t *hash = key->ptr + (parts.hash.ptr - key->ptr);
    for (int half = 0; half < 2 && st == CKIT_OK; half++) {
        int length = snprintf(name, sizeof name, "%s/name/%d/%.*s", tenant, half, (int)parts.hash.len,
                              (const char *)parts.hash.ptr);
        st = ckit_keyring_fingerprint(ring, ckit_slice_of(name, (size_t)length), fingerprint, err);
        memcpy(digits[half], fingerprint, sizeof digits[half]);
    }
    if (st == CKIT_OK) {
        memcpy(hash, digits, sizeof digits);
    }
    return st;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static ckit_seal_subject subject_of(const ckit_frame *frame, const char *whose, ckit_slice key) {
    return (ckit_seal_subject){.tenant = ckit_slice_str(whose),
                               .key = key,
                               .format = frame->format,
                               .original_type = frame->original_type,
                               .compressed = frame->compressed};
}

static ckit_status seal_frame(ckit_keyring *ring, const char *whose, ckit_slice key, const ckit_frame *clear,
                              ckit_buf *out, ckit_error *err) {
    char                    fingerprint[CKIT_FINGERPRINT_DIGITS + 1];
    ckit_buf                sealed = CKIT_BUF_INIT;
    ckit_frame              frame = *clear;
    const ckit_seal_subject subject = subject_of(clear, whose, key);
    ckit_status             st = ckit_keyring_fingerprint(ring, subject.tenant, fingerprint, err);
    if (st == CKIT_OK) {
        st = ckit_seal(ring, &subject, clear->payload, &sealed, err);
    }
    if (st == CKIT_OK) {
        frame.encrypted = true;
        frame.tenant_id = subject.tenant;
        frame.encryption_algorithm = ckit_slice_str("AES-256-GCM");
        frame.key_fingerprint = ckit_slice_str(fingerprint);
        frame.payload = ckit_buf_slice(&sealed);
        st = ckit_frame_write(&frame, out, err);
    }
    ckit_buf_fini(&sealed);
    return st;
}

ckit_status run_secret_seal(ckit_keyring *ring, ckit_slice key, ckit_slice clear, ckit_buf *out, ckit_error *err) {
    ckit_buf    scratch = CKIT_BUF_INIT;
    ckit_frame  frame;
    ckit_status st = ckit_frame_parse(clear, &frame, &scratch, err);
    st = st == CKIT_OK ? seal_frame(ring, tenant, key, &frame, out, err) : st;
    ckit_buf_fini(&scratch);
    return st;
}

static ckit_seal_subject bare_subject(const char *whose, ckit_slice key) {
    return (ckit_seal_subject){.tenant = ckit_slice_str(whose), .key = key, .format = ckit_slice_str("msgpack")};
}

ckit_status run_secret_seal_as_programs(ckit_keyring *ring, const char *whose, ckit_slice key, ckit_slice clear,
                                        ckit_buf *out, ckit_error *err) {
    const ckit_seal_subject bare = bare_subject(whose, key);
    ckit_buf                scratch = CKIT_BUF_INIT;
    ckit_frame              frame;
    bool framed = ckit_frame_parse(clear, &frame, &scratch, NULL) == CKIT_OK && !frame.legacy && !frame.encrypted;
    ckit_status st = framed ? seal_frame(ring, whose, key, &frame, out, err) : ckit_seal(ring, &bare, clear, out, err);
    ckit_buf_fini(&scratch);
    return st;
}

/* `whose` empty: whom the header names. */
static ckit_status unseal(ckit_keyring *ring, ckit_slice whose, ckit_slice key, ckit_slice sealed, ckit_buf *out,
                          ckit_error *err) {
    ckit_buf    scratch = CKIT_BUF_INIT, payload = CKIT_BUF_INIT;
    ckit_frame  frame;
    ckit_status st = ckit_frame_parse(sealed, &frame, &scratch, err);
    if (st == CKIT_OK && !frame.encrypted) {
        st = ckit_fail(err, CKIT_E_DECODE, "run", "it is not encrypted");
    }
    if (st == CKIT_OK) {
        ckit_seal_subject subject = subject_of(&frame, tenant, key);
        subject.tenant = whose.len > 0 ? whose : frame.tenant_id;
        st = ckit_unseal(ring, &subject, frame.key_fingerprint, frame.payload, 0, &payload, err);
    }
    if (st == CKIT_OK) {
        const ckit_slice nothing = {NULL, 0};
        frame.encrypted = false;
        frame.tenant_id = frame.encryption_algorithm = frame.key_fingerprint = nothing;
        frame.payload = ckit_buf_slice(&payload);
        st = ckit_frame_write(&frame, out, err);
    }
    ckit_buf_fini(&payload);
    ckit_buf_fini(&scratch);
    return st;
}

/* The tenant is ours, whatever the header says. */
ckit_status run_secret_unseal(ckit_keyring *ring, ckit_slice key, ckit_slice sealed, ckit_buf *out, ckit_error *err) {
    return unseal(ring, ckit_slice_str(tenant), key, sealed, out, err);
}

/* What a sealed value is, and whose key it is to open for. */
typedef struct revealed {
    ckit_slice key; /* without a tenant */
    ckit_slice sealed;
    ckit_frame frame;
    ckit_buf   scratch; /* of the frame */
    ckit_buf  *out;
    bool       is_named; /* a key that is here is the one that the header names */
} revealed;

static bool open_with(ckit_keyring *ring, revealed *r) {
    char fingerprint[CKIT_FINGERPRINT_DIGITS + 1];
    bool opened = unseal(ring, ckit_slice_of(NULL, 0), r->key, r->sealed, r->out, NULL) == CKIT_OK;
    r->is_named |= ckit_keyring_fingerprint(ring, r->frame.tenant_id, fingerprint, NULL) == CKIT_OK &&
                   ckit_slice_equal(ckit_slice_str(fingerprint), r->frame.key_fingerprint);
    return opened;
}

/* `wrong` is what is wrong with the keys of the environment, which may be the ones that are needed. */
static bool open_with_any(revealed *r, ckit_error *wrong) {
    ckit_keyring_options own = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    char                 path[PATH_BYTES];
    size_t               directory;
    bool opened = ckit_keyring_from_environment(false, &ring, NULL, wrong) == CKIT_OK && open_with(ring, r);
    ckit_keyring_close(ring);
    ring = NULL;
    own.key_file = path;
    if (!opened && own_file(path, &directory) && ckit_keyring_open(&own, &ring, NULL) == CKIT_OK) {
        opened = open_with(ring, r);
        ckit_keyring_close(ring);
    }
    return opened;
}

/* The tenant of "t:TENANT:KEY", as it stands there; empty: none. */
static ckit_slice tenant_in(ckit_slice key) {
    const uint8_t *end = key.len > 2 && memcmp(key.ptr, "t:", 2) == 0 ? memchr(key.ptr + 2, ':', key.len - 2) : NULL;
    return end == NULL ? ckit_slice_of(NULL, 0) : ckit_slice_of(key.ptr + 2, (size_t)(end - key.ptr) - 2);
}

static bool is_uuid(ckit_slice text) {
    for (size_t i = 0; i < text.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text.ptr[i] != '-' : isxdigit(text.ptr[i]) == 0) {
            return false;
        }
    }
    return text.len == 36;
}

static bool is_of_this_deployment(ckit_slice text) {
    ckit_keyring *ring = NULL;
    char          deployment[CKIT_DEPLOYMENT_TEXT];
    bool          same =
        run_secret_ring(&ring, deployment, NULL) == CKIT_OK && ckit_slice_equal(text, ckit_slice_str(deployment));
    ckit_keyring_close(ring);
    return same;
}

/* `encoded` is the name as keys hold it: %XX for what is no letter, digit or -._~ */
static bool encodes(ckit_slice encoded, ckit_slice name) {
    static const char digits[] = "0123456789ABCDEF";
    size_t            at = 0;
    for (size_t i = 0; i < name.len; i++) {
        const uint8_t c = name.ptr[i];
        const bool    plain = isalnum(c) != 0 || (c != 0 && strchr("-._~", c) != NULL);
        const size_t  width = plain ? 1 : 3;
        const char    hex[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (encoded.len - at < width || memcmp(encoded.ptr + at, plain ? (const char *)&c : hex, width) != 0) {
            return false;
        }
        at += width;
    }
    return at == encoded.len;
}

/* Under a tenant's key lies what was sealed for him, an answer of `run`, or what was sealed for a deployment, which is a
 * UUID. */
static bool may_lie_under(const char *whose, ckit_slice in_key, ckit_slice sealed_for) {
    const ckit_slice name = whose != NULL ? ckit_slice_str(whose) : in_key;
    if (name.len == 0 || (whose != NULL ? ckit_slice_equal(name, sealed_for) : encodes(in_key, sealed_for))) {
        return true;
    }
    return ckit_slice_equal(sealed_for, ckit_slice_str(tenant)) ||
           (is_uuid(sealed_for) && (!is_uuid(name) || is_of_this_deployment(sealed_for)));
}

static ckit_status reveal(const char *whose, ckit_slice in_key, revealed *r, ckit_error *err) {
    if (!may_lie_under(whose, in_key, r->frame.tenant_id)) {
        return ckit_fail(err, CKIT_E_AUTH_TAG, "get", "it is sealed for another tenant, %.*s, and was moved here",
                         (int)(r->frame.tenant_id.len < 64 ? r->frame.tenant_id.len : 64),
                         (const char *)r->frame.tenant_id.ptr);
    }
    ckit_error wrong = CKIT_ERROR_INIT;
    if (open_with_any(r, &wrong)) {
        return CKIT_OK;
    }
    if (r->is_named) {
        return ckit_fail(err, CKIT_E_AUTH_TAG, "get",
                         "it does not open with the key that has sealed it: it was altered, or moved here from another "
                         "key");
    }
    if (wrong.status != CKIT_OK) {
        return ckit_fail(err, wrong.status, "get", "the value is encrypted: %s", wrong.text);
    }
    return ckit_fail(
        err, CKIT_E_UNSUPPORTED, "get",
        "the value is encrypted, and no key here opens it (of CACHEKIT_MASTER_KEY, CACHEKIT_MASTER_KEY_FILE or "
        "cachekit run; cachekit doctor examines them): --as raw gives the sealed bytes");
}

ckit_status run_secret_reveal(const char *whose, ckit_slice key, ckit_slice sealed, ckit_buf *out, ckit_error *err) {
    const ckit_slice in_key = tenant_in(key);
    const size_t     prefix = in_key.len > 0 ? in_key.len + 3 : 0; /* "t:" and ":" */
    revealed         r = {.sealed = sealed, .scratch = CKIT_BUF_INIT, .out = out};
    r.key = ckit_slice_of(key.ptr + prefix, key.len - prefix);
    ckit_status st = ckit_frame_parse(sealed, &r.frame, &r.scratch, err);
    if (st == CKIT_OK) {
        st = reveal(whose, in_key, &r, err);
    }
    ckit_buf_fini(&r.scratch);
    return st;
}

ckit_status run_secret_reveal_bare(const char *whose, ckit_slice key, ckit_slice sealed, ckit_buf *out,
                                   ckit_error *err) {
    ckit_keyring *ring = NULL;
    char          deployment[CKIT_DEPLOYMENT_TEXT];
    ckit_status   st = CKIT_MISS;
    if (sealed.len >= CKIT_SEAL_OVERHEAD &&
        (st = ckit_keyring_from_environment(false, &ring, deployment, err)) == CKIT_OK) {
        const ckit_seal_subject subject = bare_subject(whose != NULL ? whose : deployment, key);
        bool opened = ckit_unseal(ring, &subject, ckit_slice_of(NULL, 0), sealed, 0, out, NULL) == CKIT_OK;
        st = opened ? CKIT_OK : CKIT_E_AUTH_TAG;
    }
    ckit_keyring_close(ring);
    return st;
}
