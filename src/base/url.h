/* base/url.h - taking a store's URL apart (RFC 3986 syntax; `memory:` and `file:relative/path` too).
 *
 *     scheme : [ // [ user [ : password ] @ ] host [ : port ] ] path [ ? name=value & ... ]
 *
 * Percent-encoding is undone in every part. A fragment is refused. */
#ifndef CKITI_BASE_URL_H
#define CKITI_BASE_URL_H

#include <cachekit/error.h>
#include <cachekit/types.h>

#define CKITI_URL_MAX_BYTES 8192
#define CKITI_URL_MAX_PARAMS 32

typedef struct ckiti_url_param {
    ckit_slice name;
    ckit_slice value;
} ckiti_url_param;

/* Slices point into `storage`, which holds the password too: it is wiped by ckiti_url_fini. */
typedef struct ckiti_url {
    ckit_slice      scheme; /* lower case */
    ckit_slice      user;
    ckit_slice      password;
    ckit_slice      host;          /* an IPv6 address without its brackets */
    ckit_slice      path;          /* with its leading slash when there is an authority */
    uint16_t        port;          /* 0 = not given */
    bool            has_authority; /* `//` was there */
    ckiti_url_param params[CKITI_URL_MAX_PARAMS];
    size_t          param_count;
    char            storage[CKITI_URL_MAX_BYTES];
    size_t          used;
} ckiti_url;

/* CKIT_E_CONFIGURATION says what is wrong and where, without repeating user, password or values. */
ckit_status ckiti_url_parse(ckiti_url *url, ckit_slice text, ckit_error *err);
void        ckiti_url_fini(ckiti_url *url);

#endif
