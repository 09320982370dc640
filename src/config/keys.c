#include "config/keys.h"

#include "base/log.h"
#include "base/misuse.h"
#include "base/random.h"
#include "config/environment.h"

#include <cachekit/buf.h>
#include <cachekit/open.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char where[] = "open";

/* ---- keys ------------------------------------------------------------------------------------------------------ */

static ckit_status open_ring(ckiti_keys *keys, ckiti_plan *plan, const char *const *environment, ckit_error *err) {
    ckit_keyring_options o = CKIT_KEYRING_OPTIONS_INIT;
    o.master_key_hex = ckiti_variable(environment, CKITI_MASTER_KEY_VARIABLE);
    o.previous_keys_hex = ckiti_variable(environment, CKITI_PREVIOUS_KEYS_VARIABLE);
    o.key_file = ckiti_variable(environment, CKITI_KEY_FILE_VARIABLE);
    o.alloc = plan->cache.alloc;
    o.log = plan->cache.log;
    if (o.master_key_hex == NULL && o.previous_keys_hex == NULL && o.key_file == NULL) {
        return CKIT_OK;
    }
    if (o.key_file != NULL && (o.master_key_hex != NULL || o.previous_keys_hex != NULL)) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s and %s both give keys: keep one of them",
                         CKITI_KEY_FILE_VARIABLE,
                         o.master_key_hex != NULL ? CKITI_MASTER_KEY_VARIABLE : CKITI_PREVIOUS_KEYS_VARIABLE);
    }
    return ckit_keyring_open(&o, &keys->ring, err);
}

/* ---- deployment -------------------------------------------------------------------------------------------------- */

bool ckiti_uuid_parse(ckit_slice text, char out[CKITI_UUID_DIGITS + 1]) {
    static const char urn[] = "urn:uuid:";
    size_t            used = 0;
    if (text.len > sizeof urn - 1 && memcmp(text.ptr, urn, sizeof urn - 1) == 0) {
        text = ckit_slice_of(text.ptr + sizeof urn - 1, text.len - (sizeof urn - 1));
    }
    if (text.len > 2 && text.ptr[0] == '{' && text.ptr[text.len - 1] == '}') {
        text = ckit_slice_of(text.ptr + 1, text.len - 2);
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.ptr[i];
        if (c == '-') {
            continue;
        }
        if (c >= 'A' && c <= 'F') {
            c = (char)(c | 0x20);
        }
        if (used == CKITI_UUID_DIGITS || !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
        out[used++] = c;
        if (used == 8 || used == 13 || used == 18 || used == 23) {
            out[used++] = '-';
        }
    }
    out[used] = '\0';
    return used == CKITI_UUID_DIGITS;
}

static void make_uuid(char out[CKITI_UUID_DIGITS + 1]) {
    uint64_t high = (ckiti_random_u64() & ~UINT64_C(0xf000)) | UINT64_C(0x4000);
    uint64_t low = (ckiti_random_u64() >> 2) | UINT64_C(1) << 63;
    (void)snprintf(out, CKITI_UUID_DIGITS + 1, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
                   (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
                   (unsigned long long)(low & UINT64_C(0xffffffffffff)));
}

static bool read_uuid(const char *path, char out[CKITI_UUID_DIGITS + 1]) {
    char    text[128];
    int     fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0) {
        close(fd);
    }
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL) {
        len--;
    }
    return len > 0 && ckiti_uuid_parse(ckit_slice_of(text, (size_t)len), out);
}

/* Whole or not at all, and never over what another process has made meanwhile, unless that is damaged. */
static bool write_uuid(const char *path, const char *uuid) {
    char own[CKIT_SETTINGS_PATH_MAX + 32];
    char found[CKITI_UUID_DIGITS + 1];
    (void)snprintf(own, sizeof own, "%s.%ld", path, (long)getpid());
    int  fd = open(own, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write(fd, uuid, CKITI_UUID_DIGITS) == CKITI_UUID_DIGITS;
    if (fd >= 0) {
        written = close(fd) == 0 && written;
    }
    if (written && link(own, path) != 0) {
        written = errno == EEXIST && !read_uuid(path, found) && rename(own, path) == 0;
    }
    (void)unlink(own);
    return written;
}

/* The user's own; with `make` he gets one when he has none. */
static bool own_uuid(const char *const *environment, bool make, char out[CKITI_UUID_DIGITS + 1]) {
    const char *home = ckiti_variable(environment, "HOME");
    char        path[CKIT_SETTINGS_PATH_MAX];
    if (home == NULL || home[0] != '/' ||
        (size_t)snprintf(path, sizeof path, "%s/.cachekit", home) + sizeof "/deployment_uuid" > sizeof path) {
        return false;
    }
    size_t directory = strlen(path);
    memcpy(path + directory, "/deployment_uuid", sizeof "/deployment_uuid");
    if (read_uuid(path, out)) {
        return true;
    }
    out[0] = '\0';
    if (!make) {
        return false;
    }
    path[directory] = '\0';
    (void)mkdir(path, 0700);
    path[directory] = '/';
    make_uuid(out);
    (void)write_uuid(path, out);
    return read_uuid(path, out); /* ours, or that of who was quicker */
}

static ckit_status choose_deployment(ckiti_keys *keys, ckiti_plan *plan, const char *const *environment, bool make,
                                     ckit_error *err) {
    ckit_cache_options *o = &plan->cache;
    const char         *named = ckiti_variable(environment, CKITI_DEPLOYMENT_VARIABLE);
    if (named != NULL) {
        if (!ckiti_uuid_parse(ckit_slice_str(named), keys->deployment)) {
            return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                             "%s is no UUID: it has the form 01234567-89ab-4def-8123-456789abcdef",
                             CKITI_DEPLOYMENT_VARIABLE);
        }
        o->deployment_id = keys->deployment;
        return CKIT_OK;
    }
    if (own_uuid(environment, make, keys->deployment)) {
        o->deployment_id = keys->deployment;
        o->deployment_only = o->deployment_only == CKIT_DEFAULT ? CKIT_OFF : o->deployment_only;
        return CKIT_OK;
    }
    ckiti_log(o->log, CKIT_LOG_INFO, where,
              "there is no home directory to keep the name of this deployment in: it is called \"default\"");
    return CKIT_OK;
}

static ckit_status open_keys(ckiti_keys *keys, ckiti_plan *plan, const char *const *environment, bool make,
                             ckit_error *err) {
    memset(keys, 0, sizeof *keys);
    environment = ckiti_environment(environment);
    ckit_status st = CKIT_OK;
    if (plan->cache.keyring == NULL && (st = open_ring(keys, plan, environment, err)) == CKIT_OK) {
        plan->cache.keyring = keys->ring;
    }
    if (st == CKIT_OK && plan->cache.deployment_id == NULL && ckit_keyring_can_seal(plan->cache.keyring)) {
        st = choose_deployment(keys, plan, environment, make, err);
    }
    if (st != CKIT_OK) {
        ckit_keyring_close(keys->ring);
        keys->ring = NULL;
    }
    return st;
}

/* Who names a deployment expects sealed values, and a key that is forgotten leaves them in the clear. */
static void tell_of_missing_key(const ckiti_plan *plan, const char *const *environment) {
    const ckit_cache_options *o = &plan->cache;
    if (o->keyring == NULL && o->deployment_id == NULL && o->encryption != CKIT_OFF &&
        (plan->has_store || plan->has_redis) && ckiti_variable(environment, CKITI_DEPLOYMENT_VARIABLE) != NULL) {
        ckiti_log(o->log, CKIT_LOG_WARNING, where,
                  "%s is without effect: there is no master key, so nothing is sealed. Set %s, or give a key ring",
                  CKITI_DEPLOYMENT_VARIABLE, CKITI_MASTER_KEY_VARIABLE);
    }
}

ckit_status ckiti_keys_open(ckiti_keys *keys, ckiti_plan *plan, const char *const *environment, ckit_error *err) {
    ckit_status st = open_keys(keys, plan, environment, true, err);
    if (st == CKIT_OK) {
        tell_of_missing_key(plan, ckiti_environment(environment));
    }
    return st;
}

ckit_status ckit_keyring_from_environment(bool make, ckit_keyring **out, char deployment[CKIT_DEPLOYMENT_TEXT],
                                          ckit_error *err) {
    ckiti_plan plan = {.cache = CKIT_CACHE_OPTIONS_INIT};
    ckiti_keys keys;
    if (out == NULL) {
        return ckiti_there_is_no(err, where, "place for the keyring");
    }
    ckit_status st = open_keys(&keys, &plan, NULL, make, err);
    *out = keys.ring;
    if (deployment != NULL) {
        (void)snprintf(deployment, CKIT_DEPLOYMENT_TEXT, "%s",
                       keys.deployment[0] != '\0' ? keys.deployment : "default");
    }
    return st == CKIT_OK && keys.ring == NULL ? CKIT_MISS : st;
}
