#include "config/plan.h"

#include "backend/redis/address.h"
#include "base/log.h"
#include "config/environment.h"
#include "config/scheme.h"
#include "config/settings.h"
#include "config/table.h"

#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <stdio.h>

static const char where[] = "open";

/* ---- which store ------------------------------------------------------------------------------------------ */

static ckit_status refuse_several(const bool *chosen, ckit_error *err) {
    char   names[160];
    size_t used = 0;
    for (size_t i = 0; i < CKITI_SELECTOR_COUNT; i++) {
        if (chosen[i]) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used == 0 ? "" : ", ",
                                     ckiti_selectors[i].variable);
        }
    }
    return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s each choose a store: keep one of them, or open a URL",
                     names);
}

static ckit_status refuse_selector(const ckiti_selector *selector, ckit_error *err) {
    return ckit_fail(err, CKIT_E_UNSUPPORTED, where,
                     "%s asks for a %s store, which this version does not have: unset it, and set %s or %s, or open a "
                     "URL such as file:///directory or memory:",
                     selector->variable, selector->store, CKITI_OWN_REDIS_VARIABLE, CKITI_FILE_VARIABLE);
}

/* What is left are settings. The store reads its own from the text. */
static void drop_parameters_of_redis(ckiti_url *url) {
    size_t kept = 0;
    for (size_t i = 0; i < url->param_count; i++) {
        ckiti_url_param param = url->params[i];
        if (ckit_slice_equal(param.name, ckit_slice_str("max_connections"))) {
            param.name = ckit_slice_str("connection_pool_size");
        }
        size_t setting = 0;
        while (setting < ckit_settings_count() &&
               !(ckiti_setting_rows[setting].redis_only &&
                 ckit_slice_equal(param.name, ckit_slice_str(ckit_settings_at(setting)->url_parameter)))) {
            setting++;
        }
        if (setting < ckit_settings_count() || !ckiti_redis_is_parameter(param.name)) {
            url->params[kept++] = param;
        }
    }
    url->param_count = kept;
}

static bool has_parameter(const ckiti_url *url, const char *name) {
    size_t i = 0;
    while (i < url->param_count && !ckit_slice_equal(url->params[i].name, ckit_slice_str(name))) {
        i++;
    }
    return i < url->param_count;
}

static ckit_status take_redis(ckiti_plan *plan, const char *text, ckiti_url *url, const char *tenant, ckit_error *err) {
    plan->has_redis = true;
    plan->redis = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    plan->redis.url = text;
    bool prefixed = has_parameter(url, "key_prefix");
    drop_parameters_of_redis(url);
    if (tenant == NULL || (prefixed && plan->cache.tenant == NULL)) {
        return CKIT_OK;
    }
    plan->redis.key_prefix = plan->prefix;
    return ckiti_tenant_prefix(tenant, plan->prefix, err);
}

/* `tenant` NULL = nobody's in particular. */
static ckit_status choose_from_url(ckiti_plan *plan, const char *text, const char *reason, const char *tenant,
                                   ckit_error *err) {
    ckiti_url   url;
    ckiti_store store = CKITI_STORE_NONE;
    ckit_status st = ckiti_scheme_read(&url, ckit_slice_str(text), &store, err);
    plan->has_store = store == CKITI_STORE_FILE;
    plan->reason = reason;
    if (st == CKIT_OK && store == CKITI_STORE_REDIS) {
        st = take_redis(plan, text, &url, tenant, err);
    }
    if (st == CKIT_OK && plan->has_store) {
        st = ckiti_settings_set_directory(&plan->settings, url.path, CKIT_FROM_URL, err);
    }
    if (st == CKIT_OK) {
        st = ckiti_settings_read_url(&plan->settings, &url, store, err);
    }
    ckiti_url_fini(&url);
    return st;
}

/* A Redis by environment is the tenants' together: each has keys of his own. */
static ckit_status choose_redis(ckiti_plan *plan, const char *text, const char *reason, ckit_error *err) {
    ckit_error  why = CKIT_ERROR_INIT;
    const char *tenant = plan->cache.tenant != NULL ? plan->cache.tenant : "default";
    ckit_status st = choose_from_url(plan, text, reason, tenant, &why);
    if (st == CKIT_OK && !plan->has_redis) {
        st = ckit_fail(&why, CKIT_E_CONFIGURATION, where,
                       "not a URL of Redis: one begins with redis://, rediss:// or unix://");
    }
    return st == CKIT_OK ? st : ckit_fail(err, st, why.where, "%s: %s", reason, why.text);
}

/* Nobody has chosen anything, so nobody has promised that it is there. */
static ckit_status choose_default(ckiti_plan *plan, ckit_error *err) {
    if (plan->alone) {
        return ckit_fail(err, CKIT_E_NO_URL, where,
                         "no store is configured: set %s or %s, or open a URL such as file:///directory",
                         CKITI_OWN_REDIS_VARIABLE, CKITI_FILE_VARIABLE);
    }
    if (plan->cache.store_optional == CKIT_DEFAULT) {
        plan->cache.store_optional = CKIT_ON;
    }
    return choose_redis(plan, "redis://localhost:6379", "the default", err);
}

static ckit_status choose_from_environment(ckiti_plan *plan, const char *const *environment, ckit_error *err) {
    const ckiti_selector *selector = NULL;
    bool                  chosen[CKITI_SELECTOR_COUNT];
    size_t                count = 0;
    for (size_t i = 0; i < CKITI_SELECTOR_COUNT; i++) {
        chosen[i] = ckiti_variable(environment, ckiti_selectors[i].variable) != NULL;
        if (chosen[i]) {
            count++;
            selector = &ckiti_selectors[i];
        }
    }
    if (count > 1) {
        return refuse_several(chosen, err);
    }
    if (selector != NULL && !selector->supported) {
        return refuse_selector(selector, err);
    }
    const char *variable = selector != NULL ? selector->variable : CKITI_REDIS_VARIABLE;
    if (strcmp(variable, CKITI_FILE_VARIABLE) == 0) {
        plan->has_store = true;
        plan->reason = variable;
        return CKIT_OK;
    }
    const char *url = ckiti_variable(environment, variable);
    return url == NULL ? choose_default(plan, err) : choose_redis(plan, url, variable, err);
}

/* ---- with which options ----------------------------------------------------------------------------------- */

static ckit_status take_options(ckiti_plan *plan, const ckit_cache_options *options, ckit_error *err) {
    if (options != NULL && options->struct_size < sizeof options->struct_size) {
        return ckit_fail(err, CKIT_E_MISUSE, where,
                         "struct_size of the options is not set: begin with CKIT_CACHE_OPTIONS_INIT");
    }
    if (options != NULL) {
        size_t size = options->struct_size < sizeof plan->cache ? options->struct_size : sizeof plan->cache;
        memcpy(&plan->cache, options, size);
    }
    plan->cache.struct_size = sizeof plan->cache;
    return CKIT_OK;
}

/* Fills an option that is still zero. */
static void fill(char *option, size_t width, uint64_t value) {
    static const char zero[sizeof value];
    uint32_t          narrow = (uint32_t)value;
    if (memcmp(option, zero, width) == 0) {
        memcpy(option, width == sizeof value ? (const void *)&value : (const void *)&narrow, width);
    }
}

static char *home_of(ckiti_plan *plan, ckiti_option_home home) {
    switch (home) {
    case CKITI_OPTION_FILE: return (char *)&plan->file;
    case CKITI_OPTION_GUARD: return (char *)&plan->guard;
    case CKITI_OPTION_REDIS: return (char *)&plan->redis;
    default: return (char *)&plan->cache;
    }
}

static void fill_options(ckiti_plan *plan) {
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const ckiti_setting_row *row = &ckiti_setting_rows[i];
        if (row->type == CKITI_SETTING_PATH || row->home == CKITI_OPTION_NONE) {
            continue;
        }
        uint64_t value = ckiti_settings_value(&plan->settings, i);
        if (row->type == CKITI_SETTING_BOOLEAN) {
            value = value != 0 ? CKIT_ON : CKIT_OFF;
        }
        fill(home_of(plan, row->home) + row->option_offset, row->option_width, value);
    }
}

/* Memory's two bounds are raised or lowered to fit each other where only one of them was asked for. */
static void fit_memory(ckit_cache_options *cache, bool namespace_given, bool total_given) {
    if (cache->l1_max_bytes > cache->l1_total_max_bytes && namespace_given != total_given) {
        if (namespace_given) {
            cache->l1_total_max_bytes = cache->l1_max_bytes;
        } else {
            cache->l1_max_bytes = cache->l1_total_max_bytes;
        }
    }
}

/* How long a store that may not be there is left alone before it is looked for again. */
#define OPTIONAL_RECOVERY_MS 5000u

/* A store behind a cache is guarded, unless the caller's options say otherwise. */
static void derive_guard(ckiti_plan *plan, const char *const *environment) {
    const ckit_guard_options *given = plan->cache.guard;
    bool                      guarded = (plan->has_store || plan->has_redis) && !plan->alone;
    plan->guard = (ckit_guard_options)CKIT_GUARD_OPTIONS_INIT;
    if (given != NULL) { /* a size that is not set comes along, and is refused where a guard is made */
        memcpy(&plan->guard, given, given->struct_size < sizeof *given ? given->struct_size : sizeof *given);
        plan->guard.struct_size = given->struct_size == 0 ? 0 : sizeof plan->guard;
    }
    if (plan->cache.store_optional == CKIT_ON) { /* nobody waits for what may not exist; it is looked for more often */
        plan->guard.retry = plan->guard.retry == CKIT_DEFAULT ? CKIT_OFF : plan->guard.retry;
        plan->guard.recovery_timeout_ms =
            plan->guard.recovery_timeout_ms == 0 ? OPTIONAL_RECOVERY_MS : plan->guard.recovery_timeout_ms;
    }
    if (plan->settings.max_retries == 0 && plan->guard.retry == CKIT_DEFAULT && plan->guard.max_retries == 0) {
        plan->guard.retry = CKIT_OFF;
    }
    if (plan->guard.status_dir == NULL) {
        plan->guard.status_dir = ckiti_variable(environment, CKITI_STATUS_VARIABLE);
    }
    plan->cache.guard = guarded ? &plan->guard : NULL;
}

/* Of a value with its envelope and frame; at most what a Redis server can hold. */
static uint64_t stored_max(uint64_t value_max) {
    static const uint64_t mib = UINT64_C(1) << 20, largest = UINT64_C(512) << 20;
    return value_max < largest - mib ? value_max + mib : largest;
}

static void derive_options(ckiti_plan *plan, const char *const *environment) {
    const ckit_settings *settings = &plan->settings;
    ckit_cache_options  *cache = &plan->cache;
    bool                 namespace_given = cache->l1_max_bytes != 0;
    bool                 total_given = cache->l1_total_max_bytes != 0;
    if (cache->encryption == CKIT_ON && cache->integrity == CKIT_DEFAULT) {
        cache->integrity = CKIT_ON; /* whatever the environment says for what is in the clear */
    }
    if (cache->max_value_bytes == 0 && settings->max_chunk_bytes != 0 &&
        settings->max_chunk_bytes < settings->max_value_bytes) {
        cache->max_value_bytes = settings->max_chunk_bytes;
    }
    if (cache->compression_level == CKIT_COMPRESSION_DEFAULT && !settings->compression) {
        cache->compression_level = CKIT_COMPRESSION_OFF;
    }
    plan->file = (ckit_file_options)CKIT_FILE_OPTIONS_INIT;
    plan->file.directory = settings->file_cache_dir;
    derive_guard(plan, environment);
    fill_options(plan);
    plan->redis.max_value_bytes = stored_max(cache->max_value_bytes);
    fit_memory(cache, namespace_given, total_given);
}

/* A sink of the caller keeps a level of its own. */
static void derive_log(ckiti_plan *plan) {
    if (plan->cache.log != NULL) {
        plan->log = *plan->cache.log;
    }
    if (plan->log.level == CKIT_LOG_DEFAULT) {
        plan->log.level = plan->settings.log_level;
    }
    plan->cache.log = &plan->log;
}

/* `plan->alone` is set already, and everything else zero. */
static ckit_status make(ckiti_plan *plan, const char *url, const ckit_cache_options *options,
                        const char *const *environment, ckit_error *err) {
    environment = ckiti_environment(environment);
    ckiti_settings_defaults(&plan->settings);
    ckit_status st = take_options(plan, options, err);
    if (st == CKIT_OK) {
        st = ckiti_settings_read(&plan->settings, environment, err);
    }
    if (st == CKIT_OK) {
        st = url == NULL ? choose_from_environment(plan, environment, err)
                         : choose_from_url(plan, url, "the URL", plan->cache.tenant, err);
    }
    if (st == CKIT_OK && plan->cache.tenant != NULL && !plan->has_redis) {
        st = ckit_fail(err, CKIT_E_UNSUPPORTED, where, "entries of tenants are kept apart in Redis only");
    }
    if (st == CKIT_OK) {
        st = ckiti_settings_settle(&plan->settings, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    char *directory = plan->settings.file_cache_dir;
    if (plan->has_store && directory[0] == '\0' &&
        !ckiti_default_directory(environment, directory, sizeof plan->settings.file_cache_dir)) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "TMPDIR is too long");
    }
    derive_options(plan, environment);
    derive_log(plan);
    return CKIT_OK;
}

ckit_status ckiti_plan_make(ckiti_plan *plan, const char *url, const ckit_cache_options *options,
                            const char *const *environment, ckit_error *err) {
    memset(plan, 0, sizeof *plan);
    return make(plan, url, options, environment, err);
}

ckit_status ckiti_plan_make_store(ckiti_plan *plan, const char *url, const ckit_backend_env *env,
                                  const char *const *environment, ckit_error *err) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    if (env != NULL) {
        options.alloc = env->alloc;
        options.clock = env->clock;
        options.log = env->log;
        options.tenant = env->struct_size >= sizeof *env ? env->tenant : NULL;
    }
    memset(plan, 0, sizeof *plan);
    plan->alone = true;
    return make(plan, url, &options, environment, err);
}

void ckiti_plan_announce(const ckiti_plan *plan, const char *const *environment) {
    const ckit_log *log = plan->cache.log;
    environment = ckiti_environment(environment);
    ckit_settings_advise(environment, log);
    if (plan->has_redis) {
        ckiti_log(log, CKIT_LOG_INFO, where, "store: Redis%s%s%s (%s)",
                  plan->cache.store_optional == CKIT_ON ? " on this machine, when there is one" : "",
                  plan->redis.key_prefix != NULL ? ", keys begin with " : "",
                  plan->redis.key_prefix != NULL ? plan->redis.key_prefix : "", plan->reason);
        return;
    }
    if (!plan->has_store) {
        ckiti_log(log, CKIT_LOG_INFO, where, "%s (%s)", plan->alone ? "store: memory" : "no store, memory only",
                  plan->reason);
        return;
    }
    ckiti_log(log, CKIT_LOG_INFO, where, "store: files in %.400s (%s)", plan->file.directory, plan->reason);
    if (plan->file.directory[0] == '~') { /* a shell would have replaced it */
        ckiti_log(log, CKIT_LOG_WARNING, where,
                  "%.400s begins in the working directory, not at home: '~' is a name like any other here",
                  plan->file.directory);
    }
}
