#include "base/url.h"

#include <cachekit/buf.h>
#include <sodium.h>

static const char where[] = "url";

static bool is_alpha(uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static int hex_digit(uint8_t c) {
    if (is_digit(c)) {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The first of `set` in `text`, or text.len. */
static size_t find_any(ckit_slice text, const char *set) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '\0' && strchr(set, text.ptr[i]) != NULL) {
            return i;
        }
    }
    return text.len;
}

static ckit_slice cut(ckit_slice *text, size_t at, size_t skip) {
    ckit_slice head = ckit_slice_of(text->ptr, at);
    size_t     gone = at + skip < text->len ? at + skip : text->len;
    *text = ckit_slice_of(text->ptr + gone, text->len - gone);
    return head;
}

/* Undoes percent-encoding into the URL's storage, which is as large as the longest text. */
static ckit_status decode(ckiti_url *url, ckit_slice part, const char *name, ckit_slice *out, ckit_error *err) {
    char *start = url->storage + url->used;
    for (size_t i = 0; i < part.len; i++) {
        uint8_t c = part.ptr[i];
        if (c == '%') {
            int high = i + 2 < part.len ? hex_digit(part.ptr[i + 1]) : -1;
            int low = i + 2 < part.len ? hex_digit(part.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return ckit_fail(err, CKIT_E_CONFIGURATION, where, "bad percent-encoding in the %s", name);
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f) {
            return ckit_fail(err, CKIT_E_CONFIGURATION, where, "control character in the %s", name);
        }
        url->storage[url->used++] = (char)c;
    }
    *out = ckit_slice_of(start, (size_t)(url->storage + url->used - start));
    return CKIT_OK;
}

/* A password with a '/' or '?' in it ends the authority too early, and what is left of it looks like a port. */
static ckit_status refuse_port(ckit_error *err) {
    return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                     "the port must be a number from 1 to 65535 (special characters of a user or password are written "
                     "as %%2F and so on)");
}

static ckit_status parse_port(ckiti_url *url, ckit_slice text, ckit_error *err) {
    uint32_t port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i]) || (port = port * 10 + text.ptr[i] - '0') > 65535) {
            return refuse_port(err);
        }
    }
    if (text.len > 0 && port == 0) {
        return refuse_port(err);
    }
    url->port = (uint16_t)port;
    return CKIT_OK;
}

static ckit_status parse_host(ckiti_url *url, ckit_slice text, ckit_error *err) {
    ckit_slice host;
    ckit_slice port = {NULL, 0};
    if (text.len > 0 && text.ptr[0] == '[') {
        size_t end = find_any(text, "]");
        if (end == text.len) {
            return ckit_fail(err, CKIT_E_CONFIGURATION, where, "'[' without ']' in the host");
        }
        host = ckit_slice_of(text.ptr + 1, end - 1);
        port = ckit_slice_of(text.ptr + end + 1, text.len - end - 1);
        if (port.len > 0 && port.ptr[0] != ':') {
            return ckit_fail(err, CKIT_E_CONFIGURATION, where, "only ':port' may follow ']'");
        }
        (void)cut(&port, 0, 1);
    } else {
        port = text;
        host = cut(&port, find_any(text, ":"), 1);
    }
    ckit_status st = decode(url, host, "host", &url->host, err);
    return st == CKIT_OK ? parse_port(url, port, err) : st;
}

static ckit_status parse_authority(ckiti_url *url, ckit_slice text, ckit_error *err) {
    size_t at = text.len;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '@') {
            at = i; /* the last one: a password may hold an unencoded '@' */
        }
    }
    if (at < text.len) {
        ckit_slice  password = cut(&text, at, 1);
        ckit_slice  user = cut(&password, find_any(password, ":"), 1);
        ckit_status st = decode(url, user, "user", &url->user, err);
        if (st == CKIT_OK) {
            st = decode(url, password, "password", &url->password, err);
        }
        if (st != CKIT_OK) {
            return st;
        }
    }
    return parse_host(url, text, err);
}

static ckit_status parse_query(ckiti_url *url, ckit_slice query, ckit_error *err) {
    while (query.len > 0) {
        ckit_slice value = cut(&query, find_any(query, "&"), 1);
        if (value.len == 0) {
            continue;
        }
        if (url->param_count == CKITI_URL_MAX_PARAMS) {
            return ckit_fail(err, CKIT_E_CONFIGURATION, where, "more than %d parameters", CKITI_URL_MAX_PARAMS);
        }
        ckit_slice       name = cut(&value, find_any(value, "="), 1);
        ckiti_url_param *param = &url->params[url->param_count++];
        ckit_status      st = decode(url, name, "name of a parameter", &param->name, err);
        if (st == CKIT_OK) {
            st = decode(url, value, "value of a parameter", &param->value, err);
        }
        if (st != CKIT_OK) {
            return st;
        }
    }
    return CKIT_OK;
}

static ckit_status parse_scheme(ckiti_url *url, ckit_slice *text, ckit_error *err) {
    size_t colon = find_any(*text, ":/?#");
    if (colon == text->len || text->ptr[colon] != ':' || colon == 0 || !is_alpha(text->ptr[0])) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "no scheme: a URL begins like 'file:' or 'memory:'");
    }
    ckit_slice scheme = cut(text, colon, 1);
    char      *start = url->storage + url->used;
    for (size_t i = 0; i < scheme.len; i++) {
        uint8_t c = scheme.ptr[i];
        if (!is_alpha(c) && !is_digit(c) && c != '+' && c != '-' && c != '.') {
            return ckit_fail(err, CKIT_E_CONFIGURATION, where, "the scheme holds a character that is not allowed");
        }
        url->storage[url->used++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    url->scheme = ckit_slice_of(start, scheme.len);
    return CKIT_OK;
}

ckit_status ckiti_url_parse(ckiti_url *url, ckit_slice text, ckit_error *err) {
    memset(url, 0, offsetof(ckiti_url, storage));
    url->used = 0;
    if (text.len > CKITI_URL_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "a URL of %zu bytes, limit %d", text.len,
                         CKITI_URL_MAX_BYTES);
    }
    if (find_any(text, "#") != text.len) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "'#' must be written as %%23");
    }
    ckit_status st = parse_scheme(url, &text, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckit_slice query = text;
    ckit_slice rest = cut(&query, find_any(text, "?"), 1);
    if (rest.len >= 2 && rest.ptr[0] == '/' && rest.ptr[1] == '/') {
        url->has_authority = true;
        (void)cut(&rest, 0, 2);
        ckit_slice authority = cut(&rest, find_any(rest, "/"), 0);
        st = parse_authority(url, authority, err);
    }
    if (st == CKIT_OK) {
        st = decode(url, rest, "path", &url->path, err);
    }
    return st == CKIT_OK ? parse_query(url, query, err) : st;
}

void ckiti_url_fini(ckiti_url *url) {
    if (url != NULL) {
        sodium_memzero(url->storage, sizeof url->storage);
        url->used = 0;
        url->param_count = 0;
    }
}
