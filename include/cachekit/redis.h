/* cachekit/redis.h - the Redis store: a server, the master that sentinels name, or a cluster, shared by processes,
 * hosts and languages.
 *
 * All callers of a process share a few connections. What threads ask at the same time travels together: one of them
 * writes and reads for the others, so a crowd costs the server few packets; a lone caller does its own socket work.
 * Values larger than 64 KiB travel on connections of their own, so that they keep nobody waiting. Requests that are
 * handed over without waiting (`submit` of ext/backend.h) are served by one thread, started with the first of them.
 *
 * Reading a value and its remaining life are two commands for the server, because it has none that tells both. Who does
 * not want the life gives NULL for `life_ms` to `get` or `get_many`: that halves the server's work.
 *
 * RESP3 is spoken where the server knows HELLO (Redis 6), else RESP2. Entries are plain strings under the key itself,
 * as the released CacheKit SDKs write them:
 *
 *   KEY           the value, with its expiry in the server's hands; lifetimes are exact to the millisecond
 *   KEY:lock      who holds the lock of KEY: 32 hexadecimal digits
 *   ck:fence      counts holders of locks
 *   ck:own:KEY, ck:idx:HASH   whose entry KEY is, and the entries of a namespace; only for keys that do not tell it
 *                 themselves (shortened ones, those the program chose). They expire with the entries
 *
 * An entry whose key itself looks like one of these (it begins with "ck:" or ends with ":lock") is kept under
 * "ck:key:KEY" and its lock under "ck:lock:KEY", so that nothing is taken for something else. `key_prefix` stands in
 * front of everything.
 *
 * Listing and removing a scope walk with SCAN and remove with UNLINK: the server is never blocked, and keys that are
 * not entries of this library are left alone. An entry may be listed twice when the server enlarges its table
 * meanwhile, or when a slot of a cluster moves; none is left out because its slot moves.
 *
 * When the server is away a call fails at once after the first failed attempt, until a pause that grows from 200 ms up
 * to `backoff_max_ms` is over; one caller then tries again. Nobody waits longer than his deadline or
 * `socket_timeout_ms`.
 *
 * With sentinels (redis+sentinel://) every connection goes to the master that one of them names and that calls itself a
 * master (ROLE, which the user must be allowed). A server that answers READONLY, or ends its connections as a fail-over
 * makes it do, is left, and the next connection goes where the sentinels say then. While no sentinel answers, the
 * master that was good last is used.
 *
 * A cache with copies in memory has one more connection, which its first operation makes, and a thread that reads it.
 * The server tells over it of every key that changes (CLIENT TRACKING in broadcast mode; with `key_prefix`, of those
 * alone), by whoever and for whatever reason. Where it cannot (RESP2, before Redis 6) or may not (access control),
 * processes of this library tell each other what they change, by messages on the channel cachekit:invalidation,
 * published in the round trip of the change; what other programs change is not heard of then, nor what a process
 * changes that uses tracking: a fleet whose processes have different rights is given `invalidation=pubsub` everywhere.
 * A link that is silent for 5 seconds is asked for a sign of life, which must come within `socket_timeout`; without a
 * link memory keeps copies for a second. Closing waits for an attempt to connect, at most `socket_connect_timeout`. In
 * a cluster there is such a connection and a thread for each master, and one thread more; nodes that cannot or may not
 * track leave memory its copies for a second. `protocol=2` in a cluster: nothing is told, copies live out their life.
 *
 * In a cluster (redis+cluster://) each master has connections of its own, and `connection_pool_size` is for each of
 * them. The hosts of the URL are asked for the map of slots; the map is kept true in the background when nodes say that
 * a slot has moved, or fail. A call follows MOVED and ASK (six times at most) and waits a moment for TRYAGAIN; what
 * meets a node that has just failed, a slot without a master (CLUSTERDOWN) or a replica (READONLY) fails in a way that
 * may pass. Many at once go to all nodes side by side, and those of a node that is away fail alone. Entries have the
 * names shown above; what stands beside an entry is in its slot, so where the key has no part in braces that decides
 * the slot, the others get one:
 *
 *   ck:lock{TAG}:KEY, ck:own{TAG}:KEY, ck:fence{TAG}, ck:idx{TAG}:HASH   TAG: the first four characters, of 0000, 0001,
 *                 ... zzzz, that lead to the slot; so there is one index for a namespace and slot
 *
 * A key_prefix with something in braces puts everything into one slot. A scope is listed and removed over all masters;
 * a removal walks again when slots moved meanwhile, and fails rather than count as whole while slots have no master.
 * Figures are sums over the masters.
 *
 * A user of the server's access control needs GET MGET SET PTTL PEXPIRE PERSIST PEXPIREAT EXISTS STRLEN UNLINK DEL INCR
 * TIME EVAL EVALSHA SCAN ZSCAN ZADD ZREM ZRANGEBYSCORE ZREVRANGE PING, for figures INFO and DBSIZE, and to hear of
 * changes CLIENT|TRACKING, SUBSCRIBE and PUBLISH on the channel cachekit:invalidation; with sentinels ROLE; in a
 * cluster CLUSTER|SLOTS, CLUSTER|NODES and ASKING.
 *
 * rediss: encrypts with OpenSSL 3 (libssl.so.3), which is loaded when such a URL is opened and not before. TLS 1.2 or
 * 1.3; the server's certificate must come from a known authority and name the host. What fails for a certificate, the
 * server's or ours, is CKIT_E_CREDENTIALS; a server that speaks no TLS, or only older versions, CKIT_E_REJECTED.
 *
 * The operation `stats` tells what the server counts for all its users: keyspace_hits, keyspace_misses, expired_keys,
 * evicted_keys, commands, connections, refused; as levels clients, watching (those that are told of changes),
 * used_memory, limit_memory, keys.
 *
 * Most programs open it by URL instead: ckit_cache_open("redis://cache.internal:6379/0", ...). */
#ifndef CACHEKIT_REDIS_H
#define CACHEKIT_REDIS_H

#include <cachekit/error.h>
#include <cachekit/ext/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the server must prove who it is. */
typedef enum ckit_redis_cert_reqs {
    CKIT_REDIS_CERT_DEFAULT = 0, /* it must */
    CKIT_REDIS_CERT_REQUIRED = 1,
    CKIT_REDIS_CERT_NONE = 2 /* encrypted, and for all we know with an impostor: not even the host's name is checked */
} ckit_redis_cert_reqs;

typedef enum ckit_redis_switch { CKIT_REDIS_DEFAULT = 0, CKIT_REDIS_ON = 1, CKIT_REDIS_OFF = 2 } ckit_redis_switch;

/* How copies in memory hear that another process has changed the store. */
typedef enum ckit_redis_invalidation {
    CKIT_REDIS_INVALIDATION_DEFAULT = 0, /* auto */
    CKIT_REDIS_INVALIDATION_AUTO =
        1, /* by tracking, or by publish/subscribe where the server has or allows no tracking */
    CKIT_REDIS_INVALIDATION_TRACKING = 2, /* or not at all: then memory keeps copies for a second */
    CKIT_REDIS_INVALIDATION_PUBSUB = 3,   /* by publish/subscribe, and this process publishes what it changes */
    CKIT_REDIS_INVALIDATION_OFF = 4       /* nothing is heard or published; memory keeps copies for their whole life */
} ckit_redis_invalidation;

/* For `retries`: a command that met a lost connection is not sent again. */
#define CKIT_REDIS_NO_RETRY UINT32_MAX

/* Zero means: what the URL says, and where it says nothing, the default. A field that is not zero wins over the URL. */
typedef struct ckit_redis_options {
    size_t struct_size;
    /* Required:
     *     redis://[[user]:password@]host[:port][/database][?name=value...]
     *     rediss://...     the same, encrypted
     *     unix://[[user]:password@]/path/of/socket[?db=0...]
     *     redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/name[/database][?name=value...]
     *     redis+cluster://[[user]:password@]host[:port][,host[:port]...][?name=value...]
     *     rediss+sentinel://..., rediss+cluster://...   the same, encrypted, to sentinels and nodes alike
     * Parameters: db, username, password, socket_timeout, socket_connect_timeout (seconds, fractions allowed),
     * socket_keepalive (true, false), connection_pool_size (or max_connections), client_name, protocol (2, 3),
     * key_prefix, retries, retry_on_timeout (true, false), backoff_max (seconds), invalidation (auto, tracking, pubsub,
     * off), sentinel_username, sentinel_password. Of encrypted connections alone: ssl_ca_certs, ssl_certfile,
     * ssl_keyfile (paths), ssl_cert_reqs (required, none), ssl_check_hostname (true, false), tls_min_version (1.2,
     * 1.3). */
    const char *url;
    const char *username;
    const char *password;
    const char *client_name;       /* shown by the server's CLIENT LIST; printable, no blanks; default "cachekit" */
    const char *key_prefix;        /* in front of every key; default none; at most 1024 bytes */
    uint64_t    max_value_bytes;   /* default 100 MiB; 1 .. 512 MiB */
    uint32_t    socket_timeout_ms; /* longest silence of the server, and longest wait of a call that has no
                                              deadline (values above 1 MiB: a second more for each); default 1000;
                                              1 .. 3,600,000 */
    uint32_t    socket_connect_timeout_ms; /* for connection and login together; default 1000; 1 .. 3,600,000 */
    uint32_t connection_pool_size; /* most connections at a time; default 10; 1 .. 10,000. Up to two carry everybody's
                                         small commands, the others one large value or one listing each; at least one of
                                         those is always allowed */
    uint32_t retries;              /* how often a command is sent again after a lost connection; default 1; 1 .. 10, or
                                         CKIT_REDIS_NO_RETRY */
    uint32_t backoff_max_ms;       /* longest pause between attempts to connect; default 2000; 50 .. 3,600,000 */
    uint32_t protocol;             /* 3: RESP3 where the server has it (default); 2: RESP2 */
    ckit_redis_switch socket_keepalive; /* TCP keepalive after 60 s, every 15 s, 4 times; default on */
    ckit_redis_switch
        retry_on_timeout; /* a command that got no answer in time is sent again too, unless it writes a value; default off */
    ckit_redis_invalidation invalidation;
    const char *sentinel_username; /* for the sentinels themselves; user and password above are the master's */
    const char *sentinel_password;

    /* Of rediss: alone; with any other URL they are refused. Files are PEM and are read when the store is opened. */
    const char *ssl_ca_certs; /* authorities that are believed: a file, or a directory as `openssl rehash` makes it;
                                 default: the system's */
    const char *ssl_certfile; /* our certificate, with those between it and the authority; default none */
    const char *ssl_keyfile;  /* its key, without a password; default: in ssl_certfile too. Nobody else may be able to
                                 read it: mode 0600, or 0640 of root */
    ckit_redis_cert_reqs ssl_cert_reqs;
    ckit_redis_switch    ssl_check_hostname; /* the certificate must name the host of the URL; default on */
    uint32_t             tls_min_version;    /* 12: TLS 1.2 (default), 13: TLS 1.3; OpenSSL's own configuration may
                                                ask for more */
} ckit_redis_options;
#define CKIT_REDIS_OPTIONS_INIT CKIT_SIZED_INIT(ckit_redis_options)
CKIT_API void ckit_redis_options_init(ckit_redis_options *options, size_t struct_size);

/* Makes the store. Connects to nobody: the first operation does.
 *
 * CKIT_E_CONFIGURATION  the URL or an option is wrong; the text names it and never shows user, password or URL
 *                       (certificates and keys are looked at here)
 * CKIT_E_UNSUPPORTED    an encrypted connection where the system has no OpenSSL 3
 * CKIT_E_NO_MEMORY
 * `env` may be NULL. Texts are copied. */
CKIT_API ckit_status ckit_redis_open(const ckit_redis_options *options, const ckit_backend_env *env, ckit_backend **out,
                                     ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
