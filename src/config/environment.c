#include "config/environment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

const ckiti_selector ckiti_selectors[CKITI_SELECTOR_COUNT] = {
    {"CACHEKIT_API_KEY", "CachekitIO", false},
    {CKITI_OWN_REDIS_VARIABLE, "Redis", true},
    {"CACHEKIT_MEMCACHED_SERVERS", "Memcached", false},
    {CKITI_FILE_VARIABLE, "file", true},
};

const char *const ckiti_idle_variables[] = {
    "CACHEKIT_ALLOW_CUSTOM_HOST",
    "CACHEKIT_API_URL",
    "CACHEKIT_ARROW_COMPRESSION",
    "CACHEKIT_AUTO_INTENT",
    "CACHEKIT_BACKEND_PROVIDER_CLASS",
    "CACHEKIT_DEV_MODE",
    "CACHEKIT_DISABLE_HIREDIS",
    "CACHEKIT_EARLY_REFRESH_RATIO",
    "CACHEKIT_ENABLE_PROMETHEUS_METRICS",
    "CACHEKIT_LOG_BATCH_SIZE",
    "CACHEKIT_LOG_BUFFER_SIZE",
    "CACHEKIT_LOG_FLUSH_INTERVAL",
    "CACHEKIT_LOG_SAMPLING_RATE",
    "CACHEKIT_MEMCACHED_CONNECT_TIMEOUT",
    "CACHEKIT_MEMCACHED_KEY_PREFIX",
    "CACHEKIT_MEMCACHED_MAX_ITEM_SIZE_BYTES",
    "CACHEKIT_MEMCACHED_MAX_POOL_SIZE",
    "CACHEKIT_MEMCACHED_RETRY_ATTEMPTS",
    "CACHEKIT_MEMCACHED_TIMEOUT",
    "CACHEKIT_TIMEOUT",
    NULL,
};

const char *const *ckiti_environment(const char *const *given) {
    static const char *const nothing[] = {NULL};
    if (given != NULL) {
        return given;
    }
    return environ == NULL || getauxval(AT_SECURE) != 0 ? nothing : (const char *const *)environ;
}

const char *ckiti_variable(const char *const *environment, const char *name) {
    size_t len = strlen(name);
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=') {
            const char *value = *environment + len + 1;
            return *value == '\0' ? NULL : value;
        }
    }
    return NULL;
}

/* The store checks again when it opens; this only chooses between two names. */
static bool ours_or_absent(const char *path) {
    struct stat st;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT;
    }
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool ckiti_default_directory(const char *const *environment, char *path, size_t size) {
    const char *parent = ckiti_variable(environment, "TMPDIR");
    if (parent == NULL || parent[0] != '/') {
        parent = "/tmp";
    }
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/') {
        len--;
    }
    const char *slash = len == 1 ? "" : "/";
    int         written = snprintf(path, size, "%.*s%scachekit", (int)(len < size ? len : size), parent, slash);
    if (written < 0 || (size_t)written >= size) {
        return false;
    }
    if (ours_or_absent(path)) {
        return true;
    }
    int more = snprintf(path + written, size - (size_t)written, "-%ju", (uintmax_t)geteuid());
    return more > 0 && (size_t)more < size - (size_t)written;
}
