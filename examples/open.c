/* open.c [memory | files | environment | URL] - ways of opening a cache, and how it is doing. */
#include <cachekit/cachekit.h>
#include <stdio.h>

/* Options win over the URL, the URL over the environment, the environment over the defaults. */
static ckit_status open_url(const char *url, ckit_cache **out, ckit_error *err) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.l1_max_bytes = 16 << 20;
    options.default_ttl_ms = 15 * 60 * 1000;
    options.store_timeout_ms = 250;
    return ckit_cache_open(url, &options, out, err);
}

static void show(ckit_cache *cache) {
    ckit_health      health;
    ckit_cache_stats stats = {.struct_size = sizeof stats};
    ckit_cache_health(cache, &health);
    ckit_cache_get_stats(cache, &stats);
    printf("%s: %s\n", health.backend_type, health.healthy ? "healthy" : health.detail);
    printf("memory: %llu entries, %llu of %llu bytes\n", (unsigned long long)stats.l1_entries,
           (unsigned long long)stats.l1_used_bytes, (unsigned long long)stats.l1_max_bytes);
}

int main(int argc, char **argv) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_cache *cache = NULL;
    ckit_status st;
    const char *how = argc > 1 ? argv[1] : "memory";
    if (strcmp(how, "memory") == 0) {
        st = ckit_cache_open("memory:", NULL, &cache, &err); /* this process only */
    } else if (strcmp(how, "files") == 0) {
        st = ckit_cache_open("file:///var/cache/app?max_size_mb=512", NULL, &cache, &err); /* and files behind it */
    } else if (strcmp(how, "environment") == 0) {
        st = ckit_cache_open(NULL, NULL, &cache, &err); /* what the environment says */
    } else {
        st = open_url(how, &cache, &err);
    }
    if (st != CKIT_OK) {
        fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
    } else {
        show(cache);
    }
    ckit_cache_close(cache);
    return st == CKIT_OK ? 0 : 1;
}
