/* Initializers and constants have twins that need no preprocessor, so that another language can use them. */
#include <cachekit/cachekit.h>

#include "support/test.h"

#define CHECK_TWIN(type, INIT, init)                                                                                   \
    do {                                                                                                               \
        static const type by_macro = INIT;                                                                             \
        type              by_call;                                                                                     \
        memset(&by_call, 0xff, sizeof by_call);                                                                        \
        init(&by_call, sizeof by_call);                                                                                \
        CHECK_EQ_U(sizeof(type), by_call.struct_size);                                                                 \
        CHECK_BYTES(ckit_slice_of(&by_macro, sizeof by_macro), ckit_slice_of(&by_call, sizeof by_call));               \
    } while (0)

CKIT_TEST(twins, every_initializer_equals_its_function) {
    CHECK_TWIN(ckit_cache_options, CKIT_CACHE_OPTIONS_INIT, ckit_cache_options_init);
    CHECK_TWIN(ckit_entry_options, CKIT_ENTRY_OPTIONS_INIT, ckit_entry_options_init);
    CHECK_TWIN(ckit_cache_stats, CKIT_CACHE_STATS_INIT, ckit_cache_stats_init);
    CHECK_TWIN(ckit_function_options, CKIT_FUNCTION_OPTIONS_INIT, ckit_function_options_init);
    CHECK_TWIN(ckit_function_stats, CKIT_FUNCTION_STATS_INIT, ckit_function_stats_init);
    CHECK_TWIN(ckit_envelope_options, CKIT_ENVELOPE_OPTIONS_INIT, ckit_envelope_options_init);
    CHECK_TWIN(ckit_file_options, CKIT_FILE_OPTIONS_INIT, ckit_file_options_init);
    CHECK_TWIN(ckit_memory_options, CKIT_MEMORY_OPTIONS_INIT, ckit_memory_options_init);
    CHECK_TWIN(ckit_backend_env, CKIT_BACKEND_ENV_INIT, ckit_backend_env_init);
    CHECK_TWIN(ckit_keyring_options, CKIT_KEYRING_OPTIONS_INIT, ckit_keyring_options_init);
    CHECK_TWIN(ckit_settings, CKIT_SETTINGS_INIT, ckit_settings_init);
}

CKIT_TEST(twins, an_empty_value_is_the_same_either_way) {
    ckit_value by_macro = CKIT_VALUE_INIT;
    ckit_value by_call;
    memset(&by_call, 0xff, sizeof by_call);
    ckit_value_init(&by_call);
    CHECK_EQ_P(by_macro.release == NULL ? NULL : "", by_call.release == NULL ? NULL : "");
    CHECK_EQ_P(by_macro.data.ptr, by_call.data.ptr);
    CHECK_EQ_U(by_macro.data.len, by_call.data.len);
    CHECK_EQ_P(by_macro.object, by_call.object);
    CHECK_EQ_P(by_macro.owner, by_call.owner);
    CHECK_EQ_U(by_macro.source, by_call.source);
}

CKIT_TEST(twins, the_version_is_the_one_that_was_compiled_against) { CHECK_STR(CKIT_VERSION, ckit_version()); }

CKIT_TEST(twins, every_source_has_a_name) {
    CHECK_STR("none", ckit_source_name(CKIT_SOURCE_NONE));
    CHECK_STR("memory", ckit_source_name(CKIT_SOURCE_MEMORY));
    CHECK_STR("store", ckit_source_name(CKIT_SOURCE_STORE));
    CHECK_STR("function", ckit_source_name(CKIT_SOURCE_FUNCTION));
    CHECK_STR("flight", ckit_source_name(CKIT_SOURCE_FLIGHT));
    CHECK_STR("none", ckit_source_name((ckit_source)99));
}
