#include "support/store.h"

#include "support/file_url.h"
#include "support/output.h"
#include "support/shown_url.h"

#include <cachekit/buf.h>
#include <cachekit/file.h>
#include <cachekit/open.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PATH_BYTES 4096

static bool is_path(const char *text) { return text != NULL && text[0] == '/'; }

/* The XDG base directory specification: a relative XDG_CACHE_HOME does not count. */
bool cli_default_directory(char *path, size_t size) {
    const char *base = getenv("XDG_CACHE_HOME");
    const char *between = "";
    if (!is_path(base)) {
        base = getenv("HOME");
        between = "/.cache";
    }
    if (!is_path(base)) {
        return false;
    }
    int length = snprintf(path, size, "%s%s/cachekit", base, between);
    return length > 0 && (size_t)length < size;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static ckit_status finish(cli_store *store, const char *reason, const char *url) {
    store->ops = ckit_backend_operations(store->backend);
    store->self = ckit_backend_self(store->backend);
    char shown[CLI_SHOWN_URL];
    store->reason = reason;
    store->url = strdup(cli_url_shown(url, shown));
    return store->url == NULL ? CKIT_E_NO_MEMORY : CKIT_OK;
}

static ckit_status open_user_files(cli_store *store, const ckit_backend_env *env, ckit_error *err) {
    char              directory[PATH_BYTES];
    char              url[PATH_BYTES + 8];
    ckit_file_options options = CKIT_FILE_OPTIONS_INIT;
    if (!cli_default_directory(directory, sizeof directory)) {
        return ckit_fail(err, CKIT_E_NO_URL, "store",
                         "there is no home directory for the cache: set XDG_CACHE_HOME or HOME, or give --store URL");
    }
    options.directory = directory;
    ckit_status st = ckit_file_open(&options, env, &store->backend, err);
    if (st != CKIT_OK) {
        return st;
    }
    (void)snprintf(url, sizeof url, "file://%s", directory);
    return finish(store, "the default", url);
}

/* A Redis store keeps tenants apart itself. Opening one connects to nobody, so it may be done twice. */
static ckit_status open_for(cli_store *store, const char *url, const char *tenant, const ckit_backend_env *env,
                            ckit_error *err) {
    ckit_status st = ckit_backend_open(url, env, &store->backend, err);
    if (st != CKIT_OK || tenant == NULL || strcmp(ckit_backend_name(store->backend), "redis") != 0) {
        return st;
    }
    ckit_backend_env own = CKIT_BACKEND_ENV_INIT;
    if (env != NULL) {
        own = *env;
    }
    own.tenant = tenant;
    ckit_backend_close(store->backend);
    store->backend = NULL;
    store->prefix.len = 0;
    return ckit_backend_open(url, &own, &store->backend, err);
}

static const char *redis_of_environment(void) {
    const char *url = getenv("CACHEKIT_REDIS_URL");
    return url != NULL && *url != '\0' ? url : getenv("REDIS_URL");
}

static ckit_status open_url(cli_store *store, const char *url, const char *tenant, const ckit_backend_env *env,
                            ckit_error *err) {
    ckit_status st = open_for(store, url, tenant, env, err);
    if (st == CKIT_OK && url == NULL && strcmp(ckit_backend_name(store->backend), "redis") == 0) {
        const char *chosen = redis_of_environment();
        return finish(store, "the environment", chosen == NULL ? "" : chosen);
    }
    if (st == CKIT_OK && url == NULL) {
        const char *directory = getenv("CACHEKIT_FILE_CACHE_DIR"); /* what else could have chosen it */
        char        text[PATH_BYTES + 8];
        (void)snprintf(text, sizeof text, "file:%s%s", is_path(directory) ? "//" : "",
                       directory == NULL ? "" : directory);
        return finish(store, "the environment", text);
    }
    return st == CKIT_OK ? finish(store, "--store", url) : st;
}

static ckit_status set_tenant(cli_store *store, const char *tenant, ckit_error *err) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    ckit_status       st = ckit_buf_append(&store->prefix, ckit_slice_str("t:"));
    if (*tenant == '\0') {
        return ckit_fail(err, CKIT_E_MISUSE, "store", "--tenant is empty: it must name a tenant");
    }
    for (; st == CKIT_OK && *tenant != '\0'; tenant++) {
        char text[4] = {*tenant};
        if (strchr(plain, *tenant) == NULL) {
            (void)snprintf(text, sizeof text, "%%%02X", (unsigned)(unsigned char)*tenant);
        }
        st = ckit_buf_append(&store->prefix, ckit_slice_str(text));
    }
    return st == CKIT_OK ? ckit_buf_append(&store->prefix, ckit_slice_str(":")) : st;
}

static ckit_status begin(cli_store *store, const cli_common *common, ckit_error *err) {
    *store = (cli_store){.backend = NULL};
    return common->tenant == NULL ? CKIT_OK : set_tenant(store, common->tenant, err);
}

ckit_status cli_store_open_own(cli_store *store, const cli_common *common, ckit_error *err) {
    ckit_status st = begin(store, common, err);
    if (st != CKIT_OK) {
        return st;
    }
    return common->store != NULL ? open_url(store, common->store, common->tenant, NULL, err)
                                 : open_user_files(store, NULL, err);
}

ckit_status cli_store_try(cli_store *store, const cli_common *common, const ckit_backend_env *env, ckit_error *err) {
    ckit_status st = begin(store, common, err);
    if (st == CKIT_OK) {
        st = open_url(store, common->store, common->tenant, env, err);
        if (st == CKIT_E_NO_URL && common->store == NULL) {
            *err = (ckit_error)CKIT_ERROR_INIT;
            st = open_user_files(store, env, err);
        }
    }
    err->status = st;
    return st;
}

/* Opening makes the directory that a URL names: who only looks, or mistypes it, does not want that. */
static ckit_status check_there(const cli_common *common, ckit_error *err) {
    cli_file_url url;
    struct stat  about;
    if (common->store == NULL || !cli_file_url_read(common->store, &url) || lstat(url.path, &about) == 0 ||
        errno != ENOENT) {
        return CKIT_OK; /* opening says what else may be wrong */
    }
    ckit_status st = cli_file_url_check(&url, err);
    return st != CKIT_OK ? st
                         : ckit_fail(err, CKIT_E_UNREACHABLE, "store",
                                     "there is no store in %s: `cachekit set` or an application makes it", url.path);
}

ckit_status cli_store_look(cli_store *store, const cli_common *common, ckit_error *err) {
    *store = (cli_store){.backend = NULL};
    ckit_status st = check_there(common, err);
    return st == CKIT_OK ? cli_store_try(store, common, NULL, err) : st;
}

int cli_store_open(cli_store *store, const cli_common *common) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = cli_store_look(store, common, &err);
    return st == CKIT_OK ? CLI_DONE : cli_call_failed(st, &err);
}

int cli_store_make(cli_store *store, const cli_common *common) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = cli_store_try(store, common, NULL, &err);
    return st == CKIT_OK ? CLI_DONE : cli_call_failed(st, &err);
}

void cli_store_close(cli_store *store) {
    ckit_backend_close(store->backend);
    ckit_buf_fini(&store->prefix);
    free(store->url);
    *store = (cli_store){.backend = NULL};
}

/* ---- keys --------------------------------------------------------------------------------------------------- */

bool cli_store_key(const cli_store *store, const char *operand, ckit_buf *key) {
    key->len = 0;
    if (*operand == '\0') {
        cli_error("the key is empty");
        return false;
    }
    if (ckit_buf_append(key, ckit_buf_slice(&store->prefix)) != CKIT_OK ||
        ckit_buf_append(key, ckit_slice_str(operand)) != CKIT_OK) {
        (void)cli_no_memory();
        return false;
    }
    return true;
}

bool cli_store_own_key(const cli_store *store, ckit_slice *key) {
    const ckit_buf *prefix = &store->prefix;
    if (prefix->len == 0) {
        return true;
    }
    if (key->len <= prefix->len || memcmp(key->ptr, prefix->ptr, prefix->len) != 0) {
        return false;
    }
    *key = ckit_slice_of(key->ptr + prefix->len, key->len - prefix->len);
    return true;
}

int cli_store_cannot(const cli_store *store, const char *what) {
    cli_error("a %s store cannot %s (%s)", ckit_backend_name(store->backend), what,
              ckit_status_code(CKIT_E_UNSUPPORTED));
    return CLI_UNREACHABLE;
}
