#include "config/scheme.h"

#include "backend/redis/address.h"
#include "config/advice.h"
#include "config/parse.h"

#include <cachekit/buf.h>
#include <sodium.h>

static const char where[] = "open";

typedef struct scheme {
    const char *name;
    const char *store; /* NULL: this version has it */
    const char *form;  /* how such a URL is written */
} scheme;

static const scheme schemes[] = {
    {"memory", NULL, "memory:"},
    {"file", NULL, "file:///directory"},
    {"redis", NULL, "redis://host:6379"},
    {"unix", NULL, "unix:///path/of/socket"},
    {"rediss", NULL, "rediss://host:6379"},
    {"redis+sentinel", NULL, "redis+sentinel://host:26379/name"},
    {"rediss+sentinel", NULL, "rediss+sentinel://host:26379/name"},
    {"redis+cluster", NULL, "redis+cluster://host:6379"},
    {"rediss+cluster", NULL, "rediss+cluster://host:6379"},
    {"memcached", "Memcached", "memcached://host:11211"},
    {"https", "CachekitIO", "https://host"},
    {"http", "CachekitIO", "https://host"},
    {"cachekitio", "CachekitIO", "https://host"},
};
#define SCHEME_COUNT (sizeof schemes / sizeof schemes[0])

static const scheme *find_scheme(ckit_slice name) {
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        /* Of one length and no change apart: the same but for capitals. */
        if (strlen(schemes[i].name) == name.len && ckiti_edit_distance(name, ckit_slice_str(schemes[i].name)) == 0) {
            return &schemes[i];
        }
    }
    return NULL;
}

static bool begins(ckit_slice text, const char *with) {
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.ptr, with, len) == 0;
}

/* What has no scheme at all: a path, or a URL without its colon. */
static ckit_status advise_on_bare(ckit_slice text, ckit_error *err) {
    char shown[CKITI_SHOWN];
    if (text.len == 0) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "the URL is empty: write memory: or file:///directory, or no URL for the environment's");
    }
    if (text.ptr[0] == '/') {
        (void)ckiti_show(text, false, shown);
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "'%s' is a path: did you mean file://%s?", shown, shown);
    }
    if (begins(text, "./") || begins(text, "../") || begins(text, "~")) {
        (void)ckiti_show(text, false, shown);
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "'%s' is a path: write file:///absolute/directory, or file:directory for a relative one",
                         shown);
    }
    size_t end = 0;
    while (end < text.len && text.ptr[end] != '/' && text.ptr[end] != '?') {
        end++;
    }
    const scheme *meant = find_scheme(ckit_slice_of(text.ptr, end));
    if (meant != NULL) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "'%s' without a colon is not a URL: did you mean %s?",
                         meant->name, meant->form);
    }
    return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                     "not a URL: one begins with memory:, file: or redis:, for example file:///var/cache/app");
}

/* A scheme's characters up to a colon; empty when the text has none. */
static ckit_slice scheme_of(ckit_slice text) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == ':') {
            return ckit_slice_of(text.ptr, i);
        }
        if (c == '/' || c == '?' || c == '#') {
            break;
        }
    }
    return ckit_slice_of(NULL, 0);
}

/* The form of the scheme that is nearest to a name, of those that this version has; empty: none is near. */
static const char *nearest_form(ckit_slice name) {
    const char *form = "";
    unsigned    least = name.len >= 5 ? 3 : 2; /* from here on it is none */
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        unsigned distance = ckiti_edit_distance(name, ckit_slice_str(schemes[i].name));
        if (schemes[i].store == NULL && distance < least) {
            least = distance;
            form = schemes[i].form;
        }
    }
    return form;
}

static bool is_port(ckit_slice rest) {
    size_t i = 0;
    while (i < rest.len && rest.ptr[i] >= '0' && rest.ptr[i] <= '9') {
        i++;
    }
    return i > 0 && i == rest.len && i <= 5;
}

static ckit_status refuse_unknown(ckit_slice name, ckit_slice rest, ckit_error *err) {
    static const char known[] =
        "this version opens memory:, file:, unix:, redis: and rediss:, the last two also with +sentinel or +cluster";
    char        shown[CKITI_SHOWN];
    const char *form = nearest_form(name);
    (void)ckiti_show(name, false, shown);
    if (is_port(rest)) { /* a host's */
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "unknown scheme '%s:', did you mean redis://%s:6379?; %s",
                         shown, shown, known);
    }
    return ckit_fail(err, CKIT_E_CONFIGURATION, where, "unknown scheme '%s:'%s%s%s; %s", shown,
                     *form == '\0' ? "" : ", did you mean ", form, *form == '\0' ? "" : "?", known);
}

/* What follows is not looked at: it may be a password. */
static ckit_status refuse_unsupported(const scheme *of, ckit_slice rest, ckit_error *err) {
    if (!begins(rest, "//")) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "'%s:' without '//' is malformed: did you mean %s? (This version has no %s store: it opens "
                         "memory:, file:///directory and redis://host)",
                         of->name, of->form, of->store);
    }
    return ckit_fail(err, CKIT_E_UNSUPPORTED, where,
                     "%s: means a %s store, which this version does not have: open memory:, file:///directory or "
                     "redis://host, or a store of your own (docs/custom-backends.md)",
                     of->name, of->store);
}

static ckit_status check_memory(const ckiti_url *url, ckit_error *err) {
    if (url->user.len + url->password.len + url->host.len + url->path.len > 0 || url->port != 0) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "nothing but parameters may follow 'memory:', for example memory:?l1_max_size_mb=10");
    }
    return CKIT_OK;
}

static ckit_status check_file(const ckiti_url *url, ckit_error *err) {
    char shown[CKITI_SHOWN];
    if (url->user.len + url->password.len > 0 || url->port != 0) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "a file: URL has no user, password or port: write file:///directory");
    }
    if (url->host.len > 0 && ckiti_edit_distance(url->host, ckit_slice_str("localhost")) != 0) {
        (void)ckiti_show(url->host, false, shown);
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "file://%s names the host '%s', and files are here: did you mean file:///%s... or file:%s...?",
                         shown, shown, shown, shown);
    }
    size_t slashes = 0;
    while (slashes < url->path.len && url->path.ptr[slashes] == '/') {
        slashes++;
    }
    if (slashes == url->path.len) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "the file: URL names no directory: write file:///directory, with three slashes");
    }
    return CKIT_OK;
}

/* Of a list of hosts, which the store alone can read, the first stands for all. */
static ckit_status parse(ckiti_url *url, const scheme *of, ckit_slice text, ckit_error *err) {
    char   one[CKITI_URL_MAX_BYTES];
    bool   may_list = strchr(of->name, '+') != NULL;
    size_t len = may_list ? ckiti_redis_with_one_host(text, one, sizeof one) : text.len;
    if (len >= text.len || len > sizeof one) {
        return ckiti_url_parse(url, text, err);
    }
    ckit_status st = ckiti_url_parse(url, ckit_slice_of(one, len), err);
    sodium_memzero(one, sizeof one);
    return st;
}

ckit_status ckiti_scheme_read(ckiti_url *url, ckit_slice text, ckiti_store *store, ckit_error *err) {
    url->used = 0;
    url->param_count = 0;
    ckit_slice name = scheme_of(text);
    if (name.len == 0) {
        return advise_on_bare(text, err);
    }
    const scheme *of = find_scheme(name);
    ckit_slice    rest = ckit_slice_of(text.ptr + name.len + 1, text.len - name.len - 1);
    if (of == NULL) {
        return refuse_unknown(name, rest, err);
    }
    if (of->store != NULL) {
        return refuse_unsupported(of, rest, err);
    }
    ckit_status st = parse(url, of, text, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (of == &schemes[0]) {
        *store = CKITI_STORE_NONE;
        return check_memory(url, err);
    }
    *store = of == &schemes[1] ? CKITI_STORE_FILE : CKITI_STORE_REDIS;
    if (*store == CKITI_STORE_REDIS && !url->has_authority) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "'%s:' without '//' is malformed: did you mean %s?",
                         of->name, of->form);
    }
    return *store == CKITI_STORE_REDIS ? CKIT_OK : check_file(url, err);
}
