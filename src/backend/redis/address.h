/* address.h - where the servers are and how to talk to them: a URL and options, checked and put together. */
#ifndef CKITI_REDIS_ADDRESS_H
#define CKITI_REDIS_ADDRESS_H

#include <cachekit/redis.h>

#define CKITI_REDIS_WHERE "redis"
#define CKITI_REDIS_HOSTS 16u
#define CKITI_REDIS_DEFAULT_PORT 6379u
#define CKITI_REDIS_SENTINEL_PORT 26379u

typedef enum ckiti_redis_kind { CKITI_REDIS_SINGLE, CKITI_REDIS_SENTINEL, CKITI_REDIS_CLUSTER } ckiti_redis_kind;

/* One server. */
typedef struct ckiti_redis_endpoint {
    bool     local; /* `host` is the path of a UNIX socket */
    uint16_t port;
    char     host[256]; /* name or address */
} ckiti_redis_endpoint;

/* Everything about a store that does not change while it is open. Holds the password: wipe it with
 * ckiti_redis_address_fini. */
typedef struct ckiti_redis_address {
    ckiti_redis_kind        kind;
    bool                    tls;
    ckiti_redis_endpoint    hosts[CKITI_REDIS_HOSTS];
    size_t                  host_count;
    char                    service[128]; /* sentinels: the name of the master */
    char                    sentinel_username[256];
    char                    sentinel_password[1024];
    char                    username[256];
    char                    password[1024];
    char                    client_name[64];
    char                    key_prefix[1025];
    uint32_t                database;
    uint32_t                protocol;
    uint32_t                socket_timeout_ms;
    uint32_t                connect_timeout_ms;
    uint32_t                pool_size;
    uint32_t                retries;
    uint32_t                backoff_max_ms;
    uint64_t                max_value_bytes;
    ckit_redis_invalidation invalidation; /* never DEFAULT */
    bool                    keepalive;
    bool                    retry_on_timeout;

    /* Of encrypted connections. */
    bool     ssl_given; /* something was said about them */
    bool     ssl_verify;
    bool     ssl_check_hostname;
    uint32_t tls_min_version; /* 12 or 13 */
    char     ssl_ca_certs[1024];
    char     ssl_certfile[1024];
    char     ssl_keyfile[1024];
    /* What they share (tls.h). Made and owned by the store; NULL where nothing is encrypted. */
    struct ckiti_redis_tls *security;
} ckiti_redis_address;

/* Reads URL and options. With `others` parameters that are not this store's are passed over: somebody else has read
 * them. CKIT_E_CONFIGURATION names the part that is wrong; the text shows neither it nor the URL when it could be
 * secret. */
ckit_status ckiti_redis_address_read(ckiti_redis_address *address, const ckit_redis_options *options, bool others,
                                     ckit_error *err);
void        ckiti_redis_address_fini(ckiti_redis_address *address);

/* For who reads such URLs without this store: the URL with the first host of its list alone, copied to `out`; a URL
 * without a list as it is. The length; more than `size` when it does not fit. May hold a password. */
size_t ckiti_redis_with_one_host(ckit_slice text, char *out, size_t size);

/* Whether a URL's parameter is one of this store. */
bool ckiti_redis_is_parameter(ckit_slice name);

#endif
