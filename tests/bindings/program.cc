// A C++ program: every initializer, a lambda as a loader, a call that is computed once.
#include <cachekit/cachekit.h>

#include <cstdio>
#include <cstring>

int main() {
    ckit_cache_options    cache_options = CKIT_CACHE_OPTIONS_INIT;
    ckit_function_options function_options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_entry_options    entry_options = CKIT_ENTRY_OPTIONS_INIT;
    ckit_cache_stats      stats = CKIT_CACHE_STATS_INIT;
    ckit_function_stats   function_stats = CKIT_FUNCTION_STATS_INIT;
    ckit_file_options     file_options = CKIT_FILE_OPTIONS_INIT;
    ckit_memory_options   memory_options = CKIT_MEMORY_OPTIONS_INIT;
    ckit_envelope_options envelope_options = CKIT_ENVELOPE_OPTIONS_INIT;
    ckit_backend_env      env = CKIT_BACKEND_ENV_INIT;
    ckit_settings         settings = CKIT_SETTINGS_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_buf              buf = CKIT_BUF_INIT;
    ckit_cache           *cache = nullptr;
    ckit_function        *function = nullptr;
    (void)entry_options, (void)file_options, (void)memory_options, (void)envelope_options, (void)env;
    (void)settings, (void)buf;

    ckit_loader load = [](void *, ckit_load *call, ckit_error *) {
        ckit_write_cstr(call->result, "computed");
        return CKIT_OK;
    };
    bool right = ckit_cache_new(&cache_options, nullptr, &cache, &err) == CKIT_OK &&
                 ckit_function_new(cache, "cpp.load", load, nullptr, &function_options, &function, &err) == CKIT_OK;
    for (int i = 0; right && i < 2; i++) {
        ckit_value value = CKIT_VALUE_INIT;
        ckit_slice text = {nullptr, 0};
        right = ckit_call(function, nullptr, &value, &err) == CKIT_OK &&
                ckit_document_str(value.data, &text, &err) == CKIT_OK && text.len == 8 &&
                std::memcmp(text.ptr, "computed", 8) == 0;
        ckit_value_fini(&value);
    }
    ckit_function_get_stats(function, &function_stats);
    ckit_cache_get_stats(cache, &stats);
    right = right && function_stats.computed == 1 && stats.l1_hits == 1;
    ckit_function_close(function);
    ckit_cache_close(cache);
    std::printf("%s %s\n", ckit_version(), right ? "right" : err.text);
    return right ? 0 : 1;
}
