/* Functions: naming them to a cache, and their calls by name. */
#include "cache/call.h"
#include "cache/scope.h"
#include "cache/store.h"

#include <cachekit/envelope.h>
#include <cachekit/interop.h>

static const char where[] = "function";

void ckit_function_options_init(ckit_function_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

/* ---- naming ---------------------------------------------------------------------------------------------------- */

static ckiti_function_record *find_record(ckit_cache *cache, const ckiti_namespace *ns, ckit_slice name,
                                          ckit_slice operation, uint8_t traits) {
    ckiti_function_record *record = atomic_load_explicit(&cache->records, memory_order_acquire);
    while (record != NULL && !(record->ns == ns && record->traits == traits &&
                               ckit_slice_equal(ckit_slice_of(record->name, record->name_len), name) &&
                               ckit_slice_equal(ckiti_record_operation(record), operation))) {
        record = record->next;
    }
    return record;
}

/* `operation` is empty but in interop mode. */
static ckiti_function_record *get_record(ckit_cache *cache, ckiti_namespace *ns, ckit_slice name, ckit_slice operation,
                                         uint8_t traits) {
    pthread_mutex_lock(&cache->mu);
    ckiti_function_record *record = find_record(cache, ns, name, operation, traits);
    if (record == NULL && cache->record_count < UINT32_MAX &&
        (record = ckiti_alloc_zeroed(cache->alloc, 1, sizeof *record + name.len + operation.len)) != NULL) {
        record->ns = ns;
        record->id = ++cache->record_count;
        record->traits = traits;
        record->name_len = name.len;
        memcpy(record->name, name.ptr, name.len);
        record->operation_len = operation.len;
        if (operation.len > 0) {
            memcpy(record->name + name.len, operation.ptr, operation.len);
            atomic_store(&cache->interop, true);
        }
        record->next = atomic_load_explicit(&cache->records, memory_order_relaxed);
        atomic_store_explicit(&cache->records, record, memory_order_release);
        if ((traits & CKITI_TRAIT_CUSTOM_KEY) != 0) {
            atomic_fetch_add(&ns->named, 1);
            atomic_store(&cache->custom_keys, true);
        }
    }
    pthread_mutex_unlock(&cache->mu);
    return record;
}

static ckit_status check_interop(const ckit_cache *cache, const ckit_function_options *o, ckit_error *err) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = ckit_interop_name_check(ckit_slice_str(o->namespace_name), "namespace", &why);
    st = st == CKIT_OK ? ckit_interop_name_check(ckit_slice_str(o->interop), "operation", &why) : st;
    if (st != CKIT_OK) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "interop mode: %s", why.text);
    }
    if (o->raw || o->custom_key) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "interop mode and %s: keys and values that all share have one form",
                         o->raw ? "raw" : "custom_key");
    }
    if (o->tenants || o->tenant_of != NULL) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "interop mode and tenants: what all share is one deployment's");
    }
    const bool sealed = o->encryption == CKIT_ON || (o->encryption == CKIT_DEFAULT && cache->sealing.wanted);
    return ckiti_interop_check(cache, sealed, err);
}

/* By its own word or the cache's, and not because a key happens to be there. */
static bool asks_for_encryption(const ckit_cache *cache, const ckit_function_options *o) {
    return o->encryption == CKIT_ON || (o->encryption == CKIT_DEFAULT && cache->options.encryption == CKIT_ON);
}

static ckit_status check_encryption(const ckit_cache *cache, const ckit_function_options *o, ckit_error *err) {
    if (o->encryption > CKIT_OFF) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "encryption is %d, which is no switch", (int)o->encryption);
    }
    if (o->encryption == CKIT_ON && !ckit_keyring_can_seal(cache->sealing.ring)) {
        return ckit_fail(
            err, CKIT_E_NO_MASTER_KEY, where,
            "encryption is on and there is no master key: set CACHEKIT_MASTER_KEY to 64 hexadecimal digits or "
            "more (`cachekit keygen` makes one), or give the cache a key ring");
    }
    if (asks_for_encryption(cache, o) && o->integrity == CKIT_OFF) {
        return ckit_fail(
            err, CKIT_E_CONFIGURATION, where,
            "encryption is on and integrity is off: what is sealed has its checksum too, leave integrity out");
    }
    return CKIT_OK;
}

static bool is_lifetime(uint64_t ms) {
    return ms <= CKIT_TTL_MAX_MS || ms == CKIT_TTL_NO_EXPIRY || ms == CKIT_TTL_DO_NOT_STORE;
}

static ckit_status check_options(const ckit_function_options *o, ckit_loader loader, ckit_error *err) {
    if (o->raw && loader != NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "a loader writes documents: a raw function has none");
    }
    if (o->caller_refreshes && loader != NULL) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "caller_refreshes: this function has a loader, which does");
    }
    bool ttl_fits = is_lifetime(o->ttl_ms);
    if (!ttl_fits || o->stale_ms > CKIT_TTL_MAX_MS) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s is %llu, the longest is %llu",
                         ttl_fits ? "stale_ms" : "ttl_ms", (unsigned long long)(ttl_fits ? o->stale_ms : o->ttl_ms),
                         (unsigned long long)CKIT_TTL_MAX_MS);
    }
    bool early_fits = o->early_refresh >= 0 && o->early_refresh <= 1;
    if (!early_fits || !(o->renew_below >= 0 && o->renew_below <= 1)) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s is %g, allowed is 0 to 1",
                         early_fits ? "renew_below" : "early_refresh", early_fits ? o->renew_below : o->early_refresh);
    }
    if (o->fail_safe_ms > CKIT_TTL_MAX_MS || !is_lifetime(o->nil_ttl_ms)) {
        bool fits = o->fail_safe_ms <= CKIT_TTL_MAX_MS;
        return ckit_fail(
            err, CKIT_E_CONFIGURATION, where, "%s is %llu, the longest is %llu", fits ? "nil_ttl_ms" : "fail_safe_ms",
            (unsigned long long)(fits ? o->nil_ttl_ms : o->fail_safe_ms), (unsigned long long)CKIT_TTL_MAX_MS);
    }
    if (!(o->ttl_jitter >= 0 && o->ttl_jitter < 1) || !(o->early_beta >= 0 && o->early_beta <= 1000)) {
        bool fits = o->ttl_jitter >= 0 && o->ttl_jitter < 1;
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s is %g, allowed is 0 to %s",
                         fits ? "early_beta" : "ttl_jitter", fits ? o->early_beta : o->ttl_jitter,
                         fits ? "1000" : "less than 1");
    }
    if (o->soft_limit_ms != 0 && o->hard_limit_ms != 0 && o->hard_limit_ms < o->soft_limit_ms) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "hard_limit_ms is %u, less than soft_limit_ms, which is %u",
                         o->hard_limit_ms, o->soft_limit_ms);
    }
    if (o->soft_limit_ms != 0 && o->fail_safe_ms == 0) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where,
                         "soft_limit_ms without fail_safe_ms: there is no older value that may be given instead");
    }
    if (o->compression_level < CKIT_COMPRESSION_OFF || o->compression_level > 9) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "compression_level is %d, allowed is 1 to 9, 0 or off",
                         o->compression_level);
    }
    return CKIT_OK;
}

static void apply_options(ckit_function *function, const ckit_function_options *o) {
    const ckit_cache_options *defaults = &function->cache->options;
    function->ttl_ms = o->ttl_ms != 0 ? o->ttl_ms : defaults->default_ttl_ms;
    function->stale_ms = o->stale_ms;
    function->fail_safe_ms = o->fail_safe_ms;
    function->keep_ms = o->stale_ms > o->fail_safe_ms ? o->stale_ms : o->fail_safe_ms;
    function->ttl_jitter = o->ttl_jitter;
    function->early_beta = o->early_beta;
    function->nil_ttl_ms = o->nil_ttl_ms;
    function->fail_closed = o->fail_closed;
    function->soft_limit_ms = o->soft_limit_ms;
    function->hard_limit_ms = o->hard_limit_ms;
    function->early_refresh = o->early_refresh;
    function->renew_below_ms =
        function->ttl_ms <= CKIT_TTL_MAX_MS ? (uint64_t)((double)function->ttl_ms * o->renew_below) : 0;
    function->compression_level = o->compression_level != 0 ? o->compression_level : defaults->compression_level;
    function->integrity = (o->integrity != CKIT_DEFAULT ? o->integrity : defaults->integrity) != CKIT_OFF;
    function->raw = o->raw;
    function->custom_key = o->custom_key;
    function->interop = o->interop != NULL;
    function->use_l1 = (o->l1 != CKIT_DEFAULT ? o->l1 : defaults->l1) != CKIT_OFF;
    function->sealed = o->encryption == CKIT_ON || (o->encryption == CKIT_DEFAULT && function->cache->sealing.wanted);
    function->tenants = o->tenants || o->tenant_of != NULL;
    function->tenant_of = o->tenant_of;
    if (asks_for_encryption(function->cache, o)) {
        function->integrity = true; /* whatever the cache says for others */
    }
    if (function->sealed || function->tenants) {
        function->careful = function->use_l1;
        function->use_l1 = false;
    }
}

static uint8_t traits_of(const ckit_function *function) {
    if (function->interop) {
        return CKITI_TRAIT_INTEROP;
    }
    return (uint8_t)((function->integrity ? CKITI_TRAIT_INTEGRITY : 0) | (function->raw ? CKITI_TRAIT_RAW : 0) |
                     (function->custom_key ? CKITI_TRAIT_CUSTOM_KEY : 0) |
                     (function->tenants ? CKITI_TRAIT_TENANTS : 0));
}

static ckit_status name_it(ckit_function *function, ckit_slice name, ckit_slice namespace_name, ckit_slice operation,
                           ckit_error *err) {
    ckit_key_spec spec = {.namespace_name = namespace_name, .function = name, .integrity = function->integrity};
    ckit_status   st =
        function->interop ? CKIT_OK : ckit_key_prefix_init(&function->key_prefix, &spec, function->cache->alloc, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_namespace *ns;
    st = ckiti_namespace_get(function->cache, namespace_name, &ns, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckit_buf text;
    ckit_buf_init(&text, function->cache->alloc);
    st = ckit_key_function(function->interop ? operation : name, &text, err);
    if (st == CKIT_OK) {
        function->record = get_record(function->cache, ns, ckit_buf_slice(&text), operation, traits_of(function));
        st = function->record != NULL ? CKIT_OK
                                      : ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for another function");
    }
    ckit_buf_fini(&text);
    return st;
}

ckit_status ckit_function_new(ckit_cache *cache, const char *name, ckit_loader loader, void *context,
                              const ckit_function_options *options, ckit_function **out, ckit_error *err) {
    ckit_function_options o = CKIT_FUNCTION_OPTIONS_INIT;
    if (cache == NULL || out == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, cache == NULL ? "there is no cache" : "no place for the function");
    }
    *out = NULL;
    if (options != NULL && options->struct_size == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, where,
                         "struct_size of the options is not set: begin with "
                         "CKIT_FUNCTION_OPTIONS_INIT");
    }
    if (options != NULL) {
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    }
    ckit_status st = check_options(&o, loader, err);
    st = st == CKIT_OK ? check_encryption(cache, &o, err) : st;
    if (st == CKIT_OK && o.interop != NULL) {
        st = check_interop(cache, &o, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    ckit_function *function = ckiti_alloc_zeroed(cache->alloc, 1, sizeof *function);
    if (function == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a function");
    }
    function->cache = cache;
    function->loader = loader;
    function->refreshable = loader != NULL || o.caller_refreshes;
    function->context = context;
    apply_options(function, &o);
    st = name_it(function, ckit_slice_str(name), ckit_slice_str(o.namespace_name), ckit_slice_str(o.interop), err);
    if (st != CKIT_OK) {
        ckit_key_prefix_fini(&function->key_prefix);
        ckiti_free(cache->alloc, function, sizeof *function);
        return st;
    }
    pthread_mutex_lock(&cache->mu);
    function->next = cache->functions;
    if (cache->functions != NULL) {
        cache->functions->prev = function;
    }
    cache->functions = function;
    pthread_mutex_unlock(&cache->mu);
    *out = function;
    return CKIT_OK;
}

void ckiti_function_hold(ckit_function *function) {
    pthread_mutex_lock(&function->cache->mu);
    function->refreshing++;
    pthread_mutex_unlock(&function->cache->mu);
}

void ckiti_function_let_go(ckit_function *function) {
    ckit_cache *cache = function->cache;
    pthread_mutex_lock(&cache->mu);
    if (function->refreshing > 0) { /* a forked child has forgotten its parent's */
        function->refreshing--;
    }
    pthread_cond_broadcast(&cache->refreshed);
    pthread_mutex_unlock(&cache->mu);
}

void ckit_function_close(ckit_function *function) {
    if (function == NULL) {
        return;
    }
    ckit_cache *cache = function->cache;
    pthread_mutex_lock(&cache->mu);
    while (function->refreshing > 0) {
        pthread_cond_wait(&cache->refreshed, &cache->mu);
    }
    if (function->prev != NULL) {
        function->prev->next = function->next;
    } else {
        cache->functions = function->next;
    }
    if (function->next != NULL) {
        function->next->prev = function->prev;
    }
    pthread_mutex_unlock(&cache->mu);
    ckit_key_prefix_fini(&function->key_prefix);
    ckiti_free(cache->alloc, function, sizeof *function);
}

/* ---- one call by name ------------------------------------------------------------------------------------------- */

/* The arguments are one text. */
static bool is_text(ckit_slice packed, ckit_slice *text) {
    ckit_reader r;
    ckit_reader_init(&r, packed);
    const size_t both = ckit_read_array(&r), places = ckit_read_array(&r);
    if (both != 2 || places != 1 || ckit_reader_peek(&r) != CKIT_TYPE_STR) {
        return false;
    }
    *text = ckit_read_str(&r);
    return ckit_read_map(&r) == 0 && ckit_reader_finish(&r, NULL) == CKIT_OK;
}

static ckit_status make_custom_key(const ckit_function *function, ckit_slice packed, ckit_buf *key, ckit_error *err) {
    const ckiti_namespace *ns = function->record->ns;
    size_t                 most = function->cache->options.max_key_bytes;
    size_t                 before = key->len;
    ckit_slice             text;
    if (!is_text(packed, &text)) {
        return ckit_fail(err, CKIT_E_KEY_ARGUMENT, where, "a call with a custom key has one argument, which is text");
    }
    ckit_status st = ckit_key_custom(ckit_slice_of(ns->name, ns->name_len), text, key, err);
    if (st == CKIT_OK && key->len - before > most) {
        st = ckit_fail(err, CKIT_E_KEY_ARGUMENT, where, "a custom key of %zu bytes, allowed are %zu", key->len - before,
                       most);
        key->len = before;
    }
    return st;
}

static ckit_status make_interop_key(const ckiti_function_record *record, ckit_slice packed, ckit_buf *key,
                                    ckit_error *err) {
    ckit_slice array = ckit_slice_of(packed.ptr + 1, packed.len - 2); /* between the head of two and no keywords */
    return ckit_interop_key(ckit_slice_of(record->ns->name, record->ns->name_len), ckiti_record_operation(record),
                            array, key, err);
}

/* "t:TENANT:", encoded as in URLs. */
static ckit_status append_tenant(ckit_buf *key, ckit_slice tenant, ckit_error *err) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    static const char digits[] = "0123456789ABCDEF";
    if (ckit_buf_reserve(key, 3 * tenant.len + 3) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a key");
    }
    (void)ckit_buf_append(key, ckit_slice_str("t:"));
    for (size_t i = 0; i < tenant.len; i++) {
        const uint8_t c = tenant.ptr[i];
        const char    encoded[3] = {'%', digits[c >> 4], digits[c & 15]};
        const bool    as_is = memchr(plain, c, sizeof plain - 1) != NULL;
        (void)ckit_buf_append(key, as_is ? ckit_slice_of(&c, 1) : ckit_slice_of(encoded, sizeof encoded));
    }
    return ckit_buf_append(key, ckit_slice_str(":"));
}

ckit_status ckiti_call_key(const ckit_function *function, ckit_slice packed, ckit_buf *key, ckit_error *err) {
    const size_t before = key->len;
    ckit_slice   tenant = ckiti_call_split(function, &packed);
    ckit_status  st = tenant.len > 0 ? append_tenant(key, tenant, err) : CKIT_OK;
    if (st == CKIT_OK) {
        st = function->interop      ? make_interop_key(function->record, packed, key, err)
             : function->custom_key ? make_custom_key(function, packed, key, err)
                                    : ckit_key_from_prefix(&function->key_prefix, packed, key, err);
    }
    key->len = st == CKIT_OK ? key->len : before;
    return st;
}

ckit_status ckit_function_key(ckit_function *function, ckit_args *args, ckit_buf *key, ckit_error *err) {
    ckit_args    none;
    ckit_slice   packed;
    ckiti_joined joined;
    if (function == NULL || key == NULL) {
        return ckiti_there_is_no(err, where, function == NULL ? "function" : "place for the key");
    }
    ckit_status st = ckiti_call_pack(args, &none, &args, &packed, err);
    st = st == CKIT_OK ? ckiti_call_check(function, args, err) : st;
    if (st != CKIT_OK) {
        return st;
    }
    st = ckiti_call_join(function, args, &joined, &packed, err);
    st = st == CKIT_OK ? ckiti_call_key(function, packed, key, err) : st;
    ckiti_call_join_end(&joined);
    return st;
}

ckit_status ckit_invalidate(ckit_function *function, ckit_args *args, ckit_error *err) {
    ckit_args    none;
    ckit_slice   packed;
    ckiti_memkey memkey;
    ckit_buf     key;
    ckiti_joined joined = {{0}};
    if (function == NULL) {
        return ckiti_there_is_no(err, where, "function");
    }
    ckit_cache *cache = function->cache;
    ckit_buf_init(&key, cache->alloc);
    ckit_status st = ckiti_call_pack(args, &none, &args, &packed, err);
    st = st == CKIT_OK ? ckiti_call_check(function, args, err) : st;
    if (st == CKIT_OK) {
        st = ckiti_call_join(function, args, &joined, &packed, err);
    }
    if (st == CKIT_OK && (cache->ops != NULL || function->custom_key)) {
        st = ckiti_call_key(function, packed, &key, err);
    }
    if (st == CKIT_OK) {
        uint64_t hash = ckiti_call_name(function, packed, &memkey);
        bool     elsewhere = cache->ops != NULL && ckiti_forget_namesakes(function, ckiti_memkey_slice(&memkey));
        st = ckiti_remove_everywhere(cache, function->record->ns, ckiti_memkey_slice(&memkey), hash,
                                     ckit_buf_slice(&key), 0, err);
        if (cache->ops != NULL) {
            elsewhere |= ckiti_forget_namesakes(function, ckiti_memkey_slice(&memkey));
        }
        st = st == CKIT_MISS && elsewhere ? CKIT_OK : st;
    }
    ckiti_call_join_end(&joined);
    ckit_buf_fini(&key);
    return st;
}

void ckit_function_stats_init(ckit_function_stats *stats, size_t struct_size) {
    memset(stats, 0, struct_size);
    stats->struct_size = struct_size;
}

void ckit_function_get_stats(ckit_function *function, ckit_function_stats *out) {
    if (function == NULL || out == NULL) {
        return;
    }
    const ckiti_counters *c = &function->counters;
    ckit_function_stats   all = {.struct_size = out->struct_size,
                                 .l1_hits = ckiti_counted(c, CKITI_FN_L1_HITS),
                                 .l2_hits = ckiti_counted(c, CKITI_FN_L2_HITS),
                                 .misses = ckiti_counted(c, CKITI_FN_MISSES),
                                 .computed = ckiti_counted(c, CKITI_FN_COMPUTED),
                                 .errors = ckiti_counted(c, CKITI_FN_ERRORS),
                                 .l2_stale_hits = ckiti_counted(c, CKITI_FN_L2_STALE_HITS),
                                 .fail_safe_served = ckiti_counted(c, CKITI_FN_FAIL_SAFE),
                                 .refreshes = ckiti_counted(c, CKITI_FN_REFRESHES),
                                 .soft_limits = ckiti_counted(c, CKITI_FN_SOFT_LIMITS),
                                 .hard_limits = ckiti_counted(c, CKITI_FN_HARD_LIMITS)};
    memcpy(out, &all, out->struct_size < sizeof all ? out->struct_size : sizeof all);
}
