#include "address.h"

#include "base/url.h"

#include <cachekit/buf.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/un.h>

#define MIB (UINT64_C(1024) * 1024)

void ckit_redis_options_init(ckit_redis_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

void ckiti_redis_address_fini(ckiti_redis_address *address) {
    if (address != NULL) {
        sodium_memzero(address, sizeof *address);
    }
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static ckit_status wrong(ckit_error *err, const char *name, const char *rule) {
    return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "%s %s", name, rule);
}

static ckit_status take_text(char *out, size_t size, ckit_slice text, const char *name, ckit_error *err) {
    if (text.len >= size) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "%s is %zu bytes long, limit %zu", name,
                         text.len, size - 1);
    }
    memcpy(out, text.ptr == NULL ? (const uint8_t *)"" : text.ptr, text.len);
    out[text.len] = '\0';
    return CKIT_OK;
}

static bool parse_u32(ckit_slice text, uint32_t *out) {
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || (value = value * 10 + text.ptr[i] - '0') > UINT32_MAX) {
            return false;
        }
    }
    *out = (uint32_t)value;
    return text.len > 0;
}

/* "1", "0.25": seconds, as milliseconds, rounded up. */
static bool parse_seconds(ckit_slice text, uint32_t *out) {
    uint64_t value = 0, scale = 1000;
    bool     point = false, any = false, more = false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '.' && !point) {
            point = true;
        } else if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        } else if (!point) {
            any = true;
            value = value * 10 + 1000u * (uint64_t)(text.ptr[i] - '0');
        } else {
            any = true;
            scale /= 10;
            value += scale * (uint64_t)(text.ptr[i] - '0');
            more = more || (scale == 0 && text.ptr[i] != '0');
        }
        if (value > UINT32_MAX) {
            return false;
        }
    }
    *out = (uint32_t)value + (more ? 1u : 0u);
    return any;
}

static bool parse_switch(ckit_slice text, bool *out) {
    static const char *const yes[] = {"true", "1", "yes", "on"};
    static const char *const no[] = {"false", "0", "no", "off"};
    char                     lower[6] = "";
    for (size_t i = 0; i < text.len && i < sizeof lower - 1; i++) {
        lower[i] = (char)(text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? text.ptr[i] + 32 : text.ptr[i]);
    }
    for (size_t i = 0; i < sizeof yes / sizeof yes[0] && text.len < sizeof lower; i++) {
        if (strcmp(lower, yes[i]) == 0 || strcmp(lower, no[i]) == 0) {
            *out = strcmp(lower, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

typedef enum parameter_type { TEXT, NUMBER, SECONDS, SWITCH, CERTIFICATE, VERSION, INVALIDATION } parameter_type;
typedef struct parameter {
    const char    *name;
    parameter_type type;
    size_t         offset;
    size_t         size; /* of a text */
} parameter;

#define FIELD(name_, type_, field)                                                                                     \
    { name_, type_, offsetof(ckiti_redis_address, field), sizeof(((ckiti_redis_address *)0)->field) }
static const parameter parameters[] = {
    FIELD("db", NUMBER, database),
    FIELD("username", TEXT, username),
    FIELD("password", TEXT, password),
    FIELD("sentinel_username", TEXT, sentinel_username),
    FIELD("sentinel_password", TEXT, sentinel_password),
    FIELD("client_name", TEXT, client_name),
    FIELD("key_prefix", TEXT, key_prefix),
    FIELD("protocol", NUMBER, protocol),
    FIELD("socket_timeout", SECONDS, socket_timeout_ms),
    FIELD("socket_connect_timeout", SECONDS, connect_timeout_ms),
    FIELD("socket_keepalive", SWITCH, keepalive),
    FIELD("connection_pool_size", NUMBER, pool_size),
    FIELD("max_connections", NUMBER, pool_size),
    FIELD("retries", NUMBER, retries),
    FIELD("retry_on_timeout", SWITCH, retry_on_timeout),
    FIELD("backoff_max", SECONDS, backoff_max_ms),
    FIELD("invalidation", INVALIDATION, invalidation),
    FIELD("ssl_ca_certs", TEXT, ssl_ca_certs),
    FIELD("ssl_certfile", TEXT, ssl_certfile),
    FIELD("ssl_keyfile", TEXT, ssl_keyfile),
    FIELD("ssl_cert_reqs", CERTIFICATE, ssl_verify),
    FIELD("ssl_check_hostname", SWITCH, ssl_check_hostname),
    FIELD("tls_min_version", VERSION, tls_min_version),
};
#define PARAMETERS (sizeof parameters / sizeof parameters[0])

static const parameter *find_parameter(ckit_slice name) {
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (ckit_slice_equal(name, ckit_slice_str(parameters[i].name))) {
            return &parameters[i];
        }
    }
    return NULL;
}

static bool parse_certificate(ckit_slice text, bool *verify) {
    *verify = ckit_slice_equal(text, ckit_slice_str("required"));
    return *verify || ckit_slice_equal(text, ckit_slice_str("none"));
}

static bool parse_version(ckit_slice text, uint32_t *out) {
    *out = ckit_slice_equal(text, ckit_slice_str("1.3")) ? 13 : 12;
    return *out == 13 || ckit_slice_equal(text, ckit_slice_str("1.2"));
}

static bool parse_invalidation(ckit_slice text, ckit_redis_invalidation *out) {
    static const char *const names[] = {"auto", "tracking", "pubsub", "off"};
    for (unsigned i = 0; i < 4; i++) {
        if (ckit_slice_equal(text, ckit_slice_str(names[i]))) {
            *out = (ckit_redis_invalidation)(CKIT_REDIS_INVALIDATION_AUTO + i);
            return true;
        }
    }
    return false;
}

bool ckiti_redis_is_parameter(ckit_slice name) { return find_parameter(name) != NULL; }

static ckit_status take_parameter(ckiti_redis_address *a, const parameter *p, ckit_slice value, ckit_error *err) {
    void *field = (char *)a + p->offset;
    a->ssl_given = a->ssl_given || strncmp(p->name, "ssl_", 4) == 0 || strncmp(p->name, "tls_", 4) == 0;
    switch (p->type) {
    case TEXT: return take_text(field, p->size, value, p->name, err);
    case NUMBER: return parse_u32(value, field) ? CKIT_OK : wrong(err, p->name, "must be a whole number");
    case SECONDS: return parse_seconds(value, field) ? CKIT_OK : wrong(err, p->name, "must be a number of seconds");
    case CERTIFICATE:
        return parse_certificate(value, field) ? CKIT_OK : wrong(err, p->name, "must be required or none");
    case INVALIDATION:
        return parse_invalidation(value, field) ? CKIT_OK
                                                : wrong(err, p->name, "must be auto, tracking, pubsub or off");
    case VERSION: return parse_version(value, field) ? CKIT_OK : wrong(err, p->name, "must be 1.2 or 1.3");
    default: return parse_switch(value, field) ? CKIT_OK : wrong(err, p->name, "must be true or false");
    }
}

static ckit_status read_parameters(ckiti_redis_address *a, const ckiti_url *url, bool others, ckit_error *err) {
    uint32_t seen = 0;
    for (size_t i = 0; i < url->param_count; i++) {
        const parameter *p = find_parameter(url->params[i].name);
        if (p == NULL && others) {
            continue;
        }
        if (p == NULL) {
            return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "unknown parameter '%.40s' in the URL",
                             url->params[i].name.len < 40 ? (const char *)url->params[i].name.ptr : "...");
        }
        if ((seen & 1u << (p - parameters)) != 0) {
            return wrong(err, p->name, "is there twice");
        }
        seen |= 1u << (p - parameters);
        ckit_status st = take_parameter(a, p, url->params[i].value, err);
        if (st != CKIT_OK) {
            return st;
        }
    }
    return CKIT_OK;
}

/* ---- the URL ----------------------------------------------------------------------------------------------------- */

static bool scheme_is(const ckiti_url *url, const char *name) {
    return ckit_slice_equal(url->scheme, ckit_slice_str(name));
}

static ckit_status take_scheme(ckiti_redis_address *a, const ckiti_url *url, ckit_error *err) {
    ckit_slice scheme = url->scheme;
    if (scheme_is(url, "unix")) {
        a->hosts[0].local = true;
        return CKIT_OK;
    }
    a->tls = scheme.len >= 6 && memcmp(scheme.ptr, "rediss", 6) == 0;
    if (scheme_is(url, "redis") || scheme_is(url, "rediss")) {
        return CKIT_OK;
    }
    if (scheme_is(url, "redis+sentinel") || scheme_is(url, "rediss+sentinel")) {
        a->kind = CKITI_REDIS_SENTINEL;
        return CKIT_OK;
    }
    if (scheme_is(url, "redis+cluster") || scheme_is(url, "rediss+cluster")) {
        a->kind = CKITI_REDIS_CLUSTER;
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE,
                     "not a URL of Redis: one begins with redis://, rediss:// or unix://");
}

static ckit_status add_host(ckiti_redis_address *a, const ckiti_url *url, ckit_error *err) {
    uint16_t port = a->kind == CKITI_REDIS_SENTINEL ? CKITI_REDIS_SENTINEL_PORT : CKITI_REDIS_DEFAULT_PORT;
    if (a->host_count == CKITI_REDIS_HOSTS) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "more than %u hosts", CKITI_REDIS_HOSTS);
    }
    ckiti_redis_endpoint *host = &a->hosts[a->host_count++];
    host->port = url->port != 0 ? url->port : port;
    ckit_slice name = url->host.len > 0 ? url->host : ckit_slice_str("localhost");
    return take_text(host->host, sizeof host->host, name, "the host", err);
}

/* "/0": the database; for sentinels "/name[/0]". */
static ckit_status take_path(ckiti_redis_address *a, ckit_slice path, ckit_error *err) {
    ckit_slice rest = path.len > 0 ? ckit_slice_of(path.ptr + 1, path.len - 1) : path;
    if (a->kind == CKITI_REDIS_SENTINEL) {
        const uint8_t *slash = rest.len == 0 ? NULL : memchr(rest.ptr, '/', rest.len);
        ckit_slice     name = {rest.ptr, slash == NULL ? rest.len : (size_t)(slash - rest.ptr)};
        if (name.len == 0) {
            return wrong(err, "the URL", "names no master: write redis+sentinel://host:26379/name");
        }
        ckit_status st = take_text(a->service, sizeof a->service, name, "the name of the master", err);
        if (st != CKIT_OK) {
            return st;
        }
        rest = slash == NULL ? ckit_slice_of(NULL, 0) : ckit_slice_of(slash + 1, rest.len - name.len - 1);
    }
    if (rest.len > 0 && !parse_u32(rest, &a->database)) {
        return wrong(err, "the path of the URL", "must be the number of a database, such as /0");
    }
    return CKIT_OK;
}

static ckit_status take_socket(ckiti_redis_address *a, const ckiti_url *url, ckit_error *err) {
    if (url->host.len > 0 || url->port != 0) {
        return wrong(err, "a unix: URL", "has three slashes and no host: write unix:///path/of/socket");
    }
    if (url->path.len < 2) {
        return wrong(err, "the unix: URL", "names no socket: write unix:///path/of/socket");
    }
    if (url->path.len >= sizeof((struct sockaddr_un *)0)->sun_path) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "the socket's path is %zu bytes long, limit %zu",
                         url->path.len, sizeof((struct sockaddr_un *)0)->sun_path - 1);
    }
    a->host_count = 1;
    return take_text(a->hosts[0].host, sizeof a->hosts[0].host, url->path, "the socket's path", err);
}

static ckit_status take_url(ckiti_redis_address *a, const ckiti_url *url, bool others, ckit_error *err) {
    ckit_status st = take_scheme(a, url, err);
    if (st == CKIT_OK && !url->has_authority) {
        st = wrong(err, "the URL", "has no '//' behind its scheme");
    }
    if (st == CKIT_OK) {
        st = take_text(a->username, sizeof a->username, url->user, "the user", err);
    }
    if (st == CKIT_OK) {
        st = take_text(a->password, sizeof a->password, url->password, "the password", err);
    }
    if (st == CKIT_OK) {
        st = a->hosts[0].local ? take_socket(a, url, err) : take_path(a, url->path, err);
    }
    if (st == CKIT_OK && !a->hosts[0].local) {
        st = add_host(a, url, err);
    }
    return st == CKIT_OK ? read_parameters(a, url, others, err) : st;
}

/* Where the comma behind the first host is, and where the hosts end; false when there is one host. */
static bool find_list(ckit_slice text, size_t *comma, size_t *end) {
    size_t at = 0;
    while (at + 2 < text.len && memcmp(text.ptr + at, "://", 3) != 0) {
        at++;
    }
    size_t start = at + 3;
    for (*end = start; *end < text.len && text.ptr[*end] != '/' && text.ptr[*end] != '?'; (*end)++) {
        if (text.ptr[*end] == '@') {
            start = *end + 1;
        }
    }
    for (*comma = start; *comma < *end; (*comma)++) {
        if (text.ptr[*comma] == ',') {
            return true;
        }
    }
    return false;
}

size_t ckiti_redis_with_one_host(ckit_slice text, char *out, size_t size) {
    size_t comma, end;
    if (!find_list(text, &comma, &end)) {
        comma = end = text.len;
    }
    size_t len = text.len - (end - comma);
    if (len > 0 && len <= size) {
        memcpy(out, text.ptr, comma);
        memcpy(out + comma, text.ptr + end, text.len - end);
    }
    return len;
}

/* `url` is scratch. The first host is read with the URL around it, the others as URLs of their own. */
static ckit_status read_url(ckiti_redis_address *a, ckit_slice text, bool others, ckiti_url *url, ckit_error *err) {
    char   one[CKITI_URL_MAX_BYTES];
    size_t comma, end;
    if (text.len > sizeof one) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "a URL of %zu bytes, limit %zu", text.len,
                         sizeof one);
    }
    if (!find_list(text, &comma, &end)) {
        ckit_status st = ckiti_url_parse(url, text, err);
        return st == CKIT_OK ? take_url(a, url, others, err) : st;
    }
    ckit_status st = ckiti_url_parse(url, ckit_slice_of(one, ckiti_redis_with_one_host(text, one, sizeof one)), err);
    if (st == CKIT_OK) {
        st = take_url(a, url, others, err);
    }
    sodium_memzero(one, sizeof one);
    if (st == CKIT_OK && (a->kind == CKITI_REDIS_SINGLE)) {
        st = wrong(err, "a list of hosts", "needs redis+sentinel:// or redis+cluster://");
    }
    while (st == CKIT_OK && comma < end) {
        size_t         next = comma + 1;
        const uint8_t *more = memchr(text.ptr + next, ',', end - next);
        comma = more == NULL ? end : (size_t)(more - text.ptr);
        int n = snprintf(one, sizeof one, "redis://%.*s", (int)(comma - next), (const char *)text.ptr + next);
        st = ckiti_url_parse(url, ckit_slice_of(one, (size_t)n), err);
        if (st == CKIT_OK && url->host.len == 0) {
            st = wrong(err, "the list of hosts", "has an empty place");
        }
        if (st == CKIT_OK) {
            st = add_host(a, url, err);
        }
    }
    return st;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static ckit_status check_range(const char *name, uint64_t value, uint64_t low, uint64_t high, ckit_error *err) {
    if (value >= low && value <= high) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "%s is %" PRIu64 ", range %" PRIu64 "..%" PRIu64,
                     name, value, low, high);
}

static ckit_status check_encryption(const ckiti_redis_address *a, ckit_error *err) {
    if (a->ssl_given && !a->tls) { /* who says how to encrypt believes that it is done */
        return wrong(err, "ssl_ and tls_ options", "are for encrypted connections: write rediss:// with two s");
    }
    if (a->ssl_keyfile[0] != '\0' && a->ssl_certfile[0] == '\0') {
        return wrong(err, "ssl_keyfile", "is given without ssl_certfile");
    }
    return CKIT_OK;
}

static ckit_status check(const ckiti_redis_address *a, ckit_error *err) {
    const struct {
        const char *name;
        uint64_t    value, low, high;
    } rows[] = {{"max_value_bytes", a->max_value_bytes, 1, 512 * MIB},
                {"socket_timeout (ms)", a->socket_timeout_ms, 1, 3600000},
                {"socket_connect_timeout (ms)", a->connect_timeout_ms, 1, 3600000},
                {"connection_pool_size", a->pool_size, 1, 10000},
                {"retries", a->retries, 0, 10},
                {"backoff_max (ms)", a->backoff_max_ms, 50, 3600000},
                {"protocol", a->protocol, 2, 3},
                {"db", a->database, 0, INT32_MAX},
                {"tls_min_version", a->tls_min_version, 12, 13}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ckit_status st = check_range(rows[i].name, rows[i].value, rows[i].low, rows[i].high, err);
        if (st != CKIT_OK) {
            return st;
        }
    }
    for (const char *c = a->client_name; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            return wrong(err, "client_name", "must be printable characters without blanks");
        }
    }
    if ((a->username[0] != '\0' && a->password[0] == '\0') ||
        (a->sentinel_username[0] != '\0' && a->sentinel_password[0] == '\0')) {
        return wrong(err, "a user", "is given without a password");
    }
    if (a->sentinel_password[0] != '\0' && a->kind != CKITI_REDIS_SENTINEL) {
        return wrong(err, "sentinel_password", "is for redis+sentinel:// alone");
    }
    if (a->kind == CKITI_REDIS_CLUSTER && a->database != 0) {
        return wrong(err, "db", "must be 0: a cluster has no other database");
    }
    if (a->invalidation > CKIT_REDIS_INVALIDATION_OFF) {
        return wrong(err, "invalidation", "is none of those that there are");
    }
    if (a->invalidation == CKIT_REDIS_INVALIDATION_TRACKING && a->protocol == 2) {
        return wrong(err, "invalidation", "by tracking needs protocol 3");
    }
    if (a->kind == CKITI_REDIS_CLUSTER && a->invalidation == CKIT_REDIS_INVALIDATION_PUBSUB) {
        return wrong(err, "invalidation", "must be auto, tracking or off: nodes of a cluster lose messages silently");
    }
    return check_encryption(a, err);
}

static void defaults(ckiti_redis_address *a) {
    memset(a, 0, sizeof *a);
    a->protocol = 3;
    a->invalidation = CKIT_REDIS_INVALIDATION_AUTO;
    a->socket_timeout_ms = 1000;
    a->connect_timeout_ms = 1000;
    a->pool_size = 10;
    a->retries = 1;
    a->backoff_max_ms = 2000; /* less than a tenth of the usual recovery time of a guard */
    a->max_value_bytes = 100 * MIB;
    a->keepalive = true;
    a->ssl_verify = true;
    a->ssl_check_hostname = true;
    a->tls_min_version = 12;
    memcpy(a->client_name, "cachekit", sizeof "cachekit");
}

static ckit_status take_strings(ckiti_redis_address *a, const ckit_redis_options *o, ckit_error *err) {
    const struct {
        const char *name, *value;
        char       *out;
        size_t      size;
    } rows[] = {{"username", o->username, a->username, sizeof a->username},
                {"password", o->password, a->password, sizeof a->password},
                {"sentinel_username", o->sentinel_username, a->sentinel_username, sizeof a->sentinel_username},
                {"sentinel_password", o->sentinel_password, a->sentinel_password, sizeof a->sentinel_password},
                {"client_name", o->client_name, a->client_name, sizeof a->client_name},
                {"key_prefix", o->key_prefix, a->key_prefix, sizeof a->key_prefix},
                {"ssl_ca_certs", o->ssl_ca_certs, a->ssl_ca_certs, sizeof a->ssl_ca_certs},
                {"ssl_certfile", o->ssl_certfile, a->ssl_certfile, sizeof a->ssl_certfile},
                {"ssl_keyfile", o->ssl_keyfile, a->ssl_keyfile, sizeof a->ssl_keyfile}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].value != NULL) {
            ckit_status st = take_text(rows[i].out, rows[i].size, ckit_slice_str(rows[i].value), rows[i].name, err);
            if (st != CKIT_OK) {
                return st;
            }
        }
    }
    return CKIT_OK;
}

static void take_numbers(ckiti_redis_address *a, const ckit_redis_options *o) {
    const struct {
        uint32_t  value;
        uint32_t *out;
    } rows[] = {{o->socket_timeout_ms, &a->socket_timeout_ms}, {o->socket_connect_timeout_ms, &a->connect_timeout_ms},
                {o->connection_pool_size, &a->pool_size},      {o->retries, &a->retries},
                {o->backoff_max_ms, &a->backoff_max_ms},       {o->protocol, &a->protocol},
                {o->tls_min_version, &a->tls_min_version}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        *rows[i].out = rows[i].value != 0 ? rows[i].value : *rows[i].out;
    }
    a->invalidation = o->invalidation != CKIT_REDIS_INVALIDATION_DEFAULT ? o->invalidation : a->invalidation;
    a->retries = o->retries == CKIT_REDIS_NO_RETRY ? 0 : a->retries;
    a->max_value_bytes = o->max_value_bytes != 0 ? o->max_value_bytes : a->max_value_bytes;
    if (o->socket_keepalive != CKIT_REDIS_DEFAULT) {
        a->keepalive = o->socket_keepalive == CKIT_REDIS_ON;
    }
    if (o->retry_on_timeout != CKIT_REDIS_DEFAULT) {
        a->retry_on_timeout = o->retry_on_timeout == CKIT_REDIS_ON;
    }
}

static void take_encryption(ckiti_redis_address *a, const ckit_redis_options *o) {
    if (o->ssl_cert_reqs != CKIT_REDIS_CERT_DEFAULT) {
        a->ssl_verify = o->ssl_cert_reqs != CKIT_REDIS_CERT_NONE;
    }
    if (o->ssl_check_hostname != CKIT_REDIS_DEFAULT) {
        a->ssl_check_hostname = o->ssl_check_hostname == CKIT_REDIS_ON;
    }
    a->ssl_given = a->ssl_given || o->ssl_cert_reqs != CKIT_REDIS_CERT_DEFAULT ||
                   o->ssl_check_hostname != CKIT_REDIS_DEFAULT || o->ssl_ca_certs != NULL || o->ssl_certfile != NULL ||
                   o->ssl_keyfile != NULL || o->tls_min_version != 0;
}

ckit_status ckiti_redis_address_read(ckiti_redis_address *address, const ckit_redis_options *options, bool others,
                                     ckit_error *err) {
    ckit_redis_options o = CKIT_REDIS_OPTIONS_INIT;
    ckiti_url          url;
    defaults(address);
    if (options == NULL || options->struct_size < offsetof(ckit_redis_options, username)) {
        return ckit_fail(err, CKIT_E_MISUSE, CKITI_REDIS_WHERE, "options without struct_size");
    }
    memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    if (o.url == NULL || o.url[0] == '\0') {
        return wrong(err, "url", "is empty");
    }
    url.used = 0;
    url.param_count = 0;
    ckit_status st = read_url(address, ckit_slice_str(o.url), others, &url, err);
    ckiti_url_fini(&url);
    if (st == CKIT_OK) {
        st = take_strings(address, &o, err);
    }
    if (st == CKIT_OK) {
        take_numbers(address, &o);
        take_encryption(address, &o);
        st = check(address, err);
    }
    if (st != CKIT_OK) {
        ckiti_redis_address_fini(address);
    }
    return st;
}
