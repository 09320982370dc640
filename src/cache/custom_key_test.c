/* Functions whose calls name their entries by a text of their own. */
#include "cache/cache_fixture.h"

static ckit_function *named(ckit_cache *cache, const char *name, const char *namespace_name, loader *l) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.custom_key = true;
    options.namespace_name = namespace_name;
    return function_of(cache, name, l, &options);
}

/* Two functions of one namespace. */
typedef struct scene {
    fixture        f;
    loader         l;
    ckit_function *one;
    ckit_function *other;
} scene;

static void name_two(scene *s) {
    loader_init(&s->l);
    s->one = named(s->f.cache, "test.one", "shop", &s->l);
    s->other = named(s->f.cache, "test.other", "shop", &s->l);
}

static void scene_open(scene *s) {
    fixture_open(&s->f, FAKE_LOCKING);
    name_two(s);
}

static void scene_close(scene *s) {
    ckit_function_close(s->one);
    ckit_function_close(s->other);
    fixture_close(&s->f);
}

typedef ckit_status (*way)(ckit_function *function, ckit_args *args, ckit_value *out, ckit_error *err);

static void check_text(way how, ckit_function *function, const char *text, ckit_source source, uint64_t number) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_args_init(&args);
    ckit_args_cstr(&args, text);
    CHECK_OK_ERR(how(function, &args, &value, &err), &err);
    CHECK_EQ_U(source, value.source);
    CHECK_EQ_U(number, read_number(&value));
    ckit_value_fini(&value);
    ckit_args_fini(&args);
}

#define CHECK_TEXT_CALL(source, number, function, text) check_text(ckit_call, function, text, source, number)

static ckit_status forget(ckit_function *function, const char *text) {
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_cstr(&args, text);
    ckit_status st = ckit_invalidate(function, &args, NULL);
    ckit_args_fini(&args);
    return st;
}

/* ---- one function ------------------------------------------------------------------------------------------------ */

CKIT_TEST(custom_key, the_text_of_a_call_names_its_entry) {
    scene     s;
    ckit_args args;
    ckit_buf  key = CKIT_BUF_INIT;
    scene_open(&s);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "user 42\n");
    CHECK_TEXT("shop:user 42\n", fake_only_key(s.f.store));
    CHECK_STR("shop", fake_last_namespace(s.f.store));
    CHECK_STR("test.one", fake_last_function(s.f.store));
    ckit_args_init(&args);
    ckit_args_cstr(&args, "user 42\n");
    CHECK_OK(ckit_function_key(s.one, &args, &key, NULL));
    CHECK_TEXT("shop:user 42\n", ckit_buf_slice(&key));
    ckit_args_fini(&args);
    ckit_buf_fini(&key);
    CHECK_TEXT_CALL(CKIT_SOURCE_MEMORY, 1, s.one, "user 42\n");
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "");
    CHECK(fake_has(s.f.store, S("shop:")));
    scene_close(&s);
}

CKIT_TEST(custom_key, without_a_namespace_begins_with_default) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function *fn = named(f.cache, "test.load", NULL, &l);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, fn, "a");
    CHECK_TEXT("default:a", fake_only_key(f.store));
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(custom_key, calls_are_looked_up_peeked_at_refreshed_and_invalidated_like_others) {
    scene      s;
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s);
    ckit_cache    *elsewhere = fixture_cache(&s.f, FAKE_FULL);
    ckit_function *there = named(elsewhere, "test.one", "shop", &s.l);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_STORE, 1, there, "a");
    ckit_args_init(&args);
    ckit_args_cstr(&args, "a");
    CHECK_OK(ckit_peek(s.one, &args, &value));
    ckit_value_fini(&value);
    s.l.result = 2;
    check_text(ckit_refresh, s.one, "a", CKIT_SOURCE_FUNCTION, 2);
    CHECK_TEXT_CALL(CKIT_SOURCE_MEMORY, 2, s.one, "a");
    CHECK_EQ_U(1, fake_count(s.f.store));
    CHECK_OK(forget(s.one, "a"));
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK_STATUS(CKIT_MISS, ckit_peek(s.one, &args, &value));
    CHECK_STATUS(CKIT_MISS, forget(s.one, "a"));
    ckit_args_fini(&args);
    ckit_function_close(there);
    ckit_cache_close(elsewhere);
    scene_close(&s);
}

CKIT_TEST(custom_key, other_arguments_run_uncached) {
    for (unsigned store = 0; store < 2; store++) {
        scene     s;
        ckit_args none, number, two, keyword;
        if (store) {
            fixture_open(&s.f, FAKE_FULL);
        } else {
            fixture_open_memory(&s.f);
        }
        name_two(&s);
        ckit_args_init(&none);
        ckit_args_init(&number);
        ckit_args_int(&number, 1);
        ckit_args_init(&two);
        ckit_args_cstr(&two, "a");
        ckit_args_cstr(&two, "b");
        ckit_args_init(&keyword);
        ckit_args_cstr(&keyword, "a");
        ckit_args_keyword(&keyword, S("b"));
        ckit_args_nil(&keyword);
        ckit_args *wrong[] = {&none, &number, &two, &keyword, NULL};
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            ckit_value value = CKIT_VALUE_INIT;
            ckit_buf   key = CKIT_BUF_INIT;
            CHECK_OK(ckit_call(s.one, wrong[i], &value, NULL));
            CHECK_EQ_U(CKIT_SOURCE_FUNCTION, value.source);
            CHECK_EQ_U(i + 1, s.l.runs);
            CHECK_STATUS(CKIT_MISS, ckit_peek(s.one, wrong[i], &value));
            CHECK_STATUS(CKIT_E_KEY_ARGUMENT, ckit_function_key(s.one, wrong[i], &key, NULL));
            CHECK_STATUS(CKIT_E_KEY_ARGUMENT, ckit_invalidate(s.one, wrong[i], NULL));
            ckit_value_fini(&value);
            ckit_args_fini(wrong[i]);
        }
        CHECK_EQ_U(5, stats_of(s.f.cache).uncached);
        CHECK_EQ_U(0, stats_of(s.f.cache).l1_entries);
        CHECK_CONTAINS("has one argument, which is text", s.f.log.text);
        scene_close(&s);
    }
}

CKIT_TEST(custom_key, that_is_too_long_for_the_cache_runs_uncached) {
    scene s;
    char  text[1026];
    memset(text, 'a', sizeof text);
    text[1024 - 5] = 0; /* "shop:" */
    scene_open(&s);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, text);
    CHECK_TEXT_CALL(CKIT_SOURCE_MEMORY, 1, s.one, text);
    text[1024 - 5] = 'a';
    text[1025 - 5] = 0;
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, text);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, text);
    CHECK_EQ_U(2, stats_of(s.f.cache).uncached);
    CHECK_CONTAINS("a custom key of 1025 bytes, allowed are 1024", s.f.log.text);
    scene_close(&s);
}

CKIT_TEST(custom_key, and_automatic_key_of_one_function_are_two_entries) {
    scene s;
    scene_open(&s);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = "shop";
    ckit_function *automatic = function_of(s.f.cache, "test.one", &s.l, &options);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, automatic, "a");
    CHECK_EQ_U(2, fake_count(s.f.store));
    CHECK_OK(ckit_function_invalidate(s.one, NULL, NULL)); /* both have the name */
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, automatic, "a");
    ckit_function_close(automatic);
    scene_close(&s);
}

/* ---- two functions of one namespace ------------------------------------------------------------------------------ */

CKIT_TEST(custom_key, of_two_functions_with_one_text_is_one_entry) {
    scene s;
    scene_open(&s);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_STORE, 1, s.other, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_MEMORY, 1, s.other, "a");
    CHECK_EQ_U(1, fake_count(s.f.store));
    scene_close(&s);
}

CKIT_TEST(custom_key, that_one_function_invalidates_is_forgotten_by_the_other) {
    scene s;
    scene_open(&s);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_STORE, 1, s.other, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.other, "b");
    s.l.result = 2;
    CHECK_OK(forget(s.one, "a"));
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 2, s.other, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_MEMORY, 1, s.other, "b");
    CHECK_OK(ckit_cache_delete(s.f.cache, S("shop:b"), NULL, NULL));
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 2, s.other, "b");
    fake_fail(s.f.store, FAKE_REMOVE, CKIT_MISS, 1); /* the store has lost it: memory alone knew */
    CHECK_OK(forget(s.one, "b"));
    scene_close(&s);
}

CKIT_TEST(custom_key, whose_value_one_function_computes_anew_is_read_anew_by_the_other) {
    scene s;
    scene_open(&s);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_STORE, 1, s.other, "a");
    s.l.result = 2;
    check_text(ckit_refresh, s.one, "a", CKIT_SOURCE_FUNCTION, 2);
    CHECK_TEXT_CALL(CKIT_SOURCE_STORE, 2, s.other, "a");
    CHECK_TEXT_CALL(CKIT_SOURCE_MEMORY, 2, s.one, "a");
    scene_close(&s);
}

static void *call_a(void *arg) {
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, arg, "a");
    return NULL;
}

CKIT_TEST(custom_key, that_is_invalidated_while_the_other_function_computes_is_not_kept) {
    scene     s;
    pthread_t thread;
    scene_open(&s);
    loader_shut(&s.l);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, call_a, s.other));
    loader_wait_stopped(&s.l, 1);
    CHECK_STATUS(CKIT_MISS, forget(s.one, "a"));
    loader_open(&s.l);
    pthread_join(thread, NULL);
    CHECK_EQ_U(0, fake_count(s.f.store));
    s.l.result = 2;
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 2, s.other, "a");
    scene_close(&s);
}

CKIT_TEST(custom_key, without_a_store_is_shared_by_nobody) {
    scene s;
    fixture_open_memory(&s.f);
    name_two(&s);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    s.l.result = 2;
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 2, s.other, "a");
    CHECK_OK(forget(s.other, "a"));
    CHECK_TEXT_CALL(CKIT_SOURCE_MEMORY, 1, s.one, "a");
    scene_close(&s);
}

/* ---- by its key -------------------------------------------------------------------------------------------------- */

CKIT_TEST(custom_key, set_touched_or_deleted_as_an_entry_changes_the_call) {
    scene              s;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    ckit_value         value = CKIT_VALUE_INIT;
    scene_open(&s);
    options.encoding = CKIT_DOCUMENT;
    options.ttl_ms = 9000;
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    CHECK_OK(ckit_cache_set(s.f.cache, S("shop:a"), S("\x05"), &options, NULL));
    CHECK_TEXT_CALL(CKIT_SOURCE_STORE, 5, s.one, "a");
    CHECK_OK(ckit_cache_touch(s.f.cache, S("shop:a"), &options, NULL));
    CHECK_TEXT_CALL(CKIT_SOURCE_STORE, 5, s.one, "a");
    check_text(ckit_refresh, s.one, "a", CKIT_SOURCE_FUNCTION, 1);
    CHECK_OK(ckit_cache_get(s.f.cache, S("shop:a"), &options, &value, NULL)); /* nothing older in memory */
    CHECK_EQ_U(1, read_number(&value));
    CHECK_OK(ckit_cache_delete(s.f.cache, S("shop:a"), &options, NULL));
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    CHECK_OK(ckit_cache_set(s.f.cache, S("shop:\xff"), S("\x05"), &options, NULL)); /* no text: nobody's */
    CHECK_OK(ckit_cache_set(s.f.cache, S("shops:a"), S("\x05"), &options, NULL));
    CHECK_TEXT_CALL(CKIT_SOURCE_MEMORY, 1, s.one, "a");
    ckit_value_fini(&value);
    scene_close(&s);
}

CKIT_TEST(custom_key, of_a_namespace_is_forgotten_with_it) {
    scene      s;
    ckit_scope scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("shop")};
    scene_open(&s);
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    CHECK_OK(ckit_cache_invalidate(s.f.cache, &scope, NULL, NULL));
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK_TEXT_CALL(CKIT_SOURCE_FUNCTION, 1, s.one, "a");
    scene_close(&s);
}
