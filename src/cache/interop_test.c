/* Functions and entries in interop mode: keys and values that every SDK shares. */
#include "cache/poll_fixture.h"

#include <cachekit/interop.h>
#include <math.h>

/* users:get_user of the argument 42, as all SDKs name it. */
#define KEY_OF_42 "users:get_user:61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875"
#define ALICE                                                                                                          \
    "\x82\xa3"                                                                                                         \
    "age\x1e\xa4name\xa5"                                                                                              \
    "alice"

typedef enum gives { ALICE_UNSORTED, NOT_A_NUMBER, NOTHING } gives;

typedef struct person {
    gives    what;
    unsigned runs;
    int64_t  id; /* the last argument */
} person;

static ckit_status load_person(void *context, ckit_load *load, ckit_error *err) {
    person     *p = context;
    ckit_reader args;
    (void)err;
    p->runs++;
    if (ckit_args_positional(load->args, &args) > 0) {
        p->id = ckit_read_int(&args);
    }
    if (p->what == ALICE_UNSORTED) {
        ckit_write_map(load->result, 2);
        ckit_write_cstr(load->result, "name");
        ckit_write_cstr(load->result, "alice");
        ckit_write_cstr(load->result, "age");
        ckit_write_int(load->result, 30);
    } else if (p->what == NOT_A_NUMBER) {
        ckit_write_double(load->result, (double)NAN);
    }
    return CKIT_OK;
}

static ckit_function_options shared_options(const char *operation) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = "users";
    options.interop = operation;
    return options;
}

static ckit_function *shared(ckit_cache *cache, const char *operation, person *p) {
    ckit_function_options options = shared_options(operation);
    ckit_function        *fn;
    ckit_error            err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_function_new(cache, "test.person", load_person, p, &options, &fn, &err), &err);
    return fn;
}

typedef struct scene {
    fixture        f;
    person         p;
    ckit_function *fn;
} scene;

static void scene_open(scene *s, fake_kind kind) {
    *s = (scene){.p = {.what = ALICE_UNSORTED}};
    fixture_open(&s->f, kind);
    s->fn = shared(s->f.cache, "get_user", &s->p);
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

/* The arguments of a call: one number, an integer where it has no fraction. */
static void with_number(ckit_args *args, double number) {
    ckit_interop_args values;
    ckit_interop_args_init(&values, NULL);
    ckit_interop_args_double(&values, number);
    ckit_args_init(args);
    ckit_args_interop(args, &values);
    ckit_interop_args_fini(&values);
}

typedef ckit_status (*way)(ckit_function *function, ckit_args *args, ckit_value *out, ckit_error *err);

static ckit_status ask(way how, ckit_function *fn, double number, ckit_value *value, ckit_error *err) {
    ckit_args args;
    with_number(&args, number);
    ckit_status st = how(fn, &args, value, err);
    ckit_args_fini(&args);
    return st;
}

static void check_alice(ckit_function *fn, double number, ckit_source source) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ask(ckit_call, fn, number, &value, &err), &err);
    CHECK_EQ_U(source, value.source);
    CHECK_TEXT(ALICE, value.data);
    ckit_value_fini(&value);
}

static ckit_status forget(ckit_function *fn, double number) {
    ckit_args args;
    with_number(&args, number);
    ckit_status st = ckit_invalidate(fn, &args, NULL);
    ckit_args_fini(&args);
    return st;
}

/* ---- what is stored ---------------------------------------------------------------------------------------------- */

CKIT_TEST(interop, a_call_stores_one_canonical_document_under_the_key_that_all_sdks_make) {
    scene s;
    scene_open(&s, FAKE_LOCKING);
    check_alice(s.fn, 42, CKIT_SOURCE_FUNCTION);
    CHECK_EQ_I(42, s.p.id);
    CHECK_TEXT(KEY_OF_42, fake_only_key(s.f.store));
    CHECK_TEXT(ALICE, fake_only_value(s.f.store));
    CHECK_STR("users", fake_last_namespace(s.f.store));
    CHECK_STR("get_user", fake_last_function(s.f.store));
    check_alice(s.fn, 42, CKIT_SOURCE_MEMORY);
    CHECK_EQ_U(1, s.p.runs);
    scene_close(&s);
}

CKIT_TEST(interop, a_call_without_arguments_hashes_the_empty_array) {
    scene      s;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_args  args;
    scene_open(&s, FAKE_FULL);
    CHECK_OK(ckit_call(s.fn, NULL, &value, NULL));
    ckit_value_fini(&value);
    CHECK_TEXT("users:get_user:8064bf5f", ckit_slice_of(fake_only_key(s.f.store).ptr, 23));
    ckit_args_init(&args);
    CHECK_OK(ckit_call(s.fn, &args, &value, NULL));
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, value.source);
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    scene_close(&s);
}

CKIT_TEST(interop, what_other_sdks_have_stored_is_an_answer_in_any_form) {
    scene      s;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s, FAKE_FULL);
    fake_put(s.f.store, S(KEY_OF_42),
             S("\x82\xa1z\x01\xa1"
               "a\xca\x3f\x8c\xcc\xcd"),
             5000);
    CHECK_OK(ask(ckit_call, s.fn, 42, &value, NULL));
    CHECK_EQ_U(CKIT_SOURCE_STORE, value.source);
    CHECK_TEXT("\x82\xa1z\x01\xa1"
               "a\xca\x3f\x8c\xcc\xcd",
               value.data);
    ckit_value_fini(&value);
    CHECK_EQ_U(0, s.p.runs);
    scene_close(&s);
}

CKIT_TEST(interop, what_nobody_can_read_is_removed_counted_and_computed_again) {
    static const ckit_slice damaged[] = {{(const uint8_t *)"CK\x03 frame", 9},
                                         {(const uint8_t *)"\x01\x01", 2},
                                         {(const uint8_t *)"\x92\x01", 2},
                                         {(const uint8_t *)"\xc1", 1},
                                         {(const uint8_t *)"\x81\x01\x01", 3}};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        scene s;
        scene_open(&s, FAKE_FULL);
        fake_put(s.f.store, S(KEY_OF_42), damaged[i], 5000);
        check_alice(s.fn, 42, CKIT_SOURCE_FUNCTION);
        CHECK_EQ_U(1, stats_of(s.f.cache).l2_corrupt);
        CHECK_TEXT(ALICE, fake_only_value(s.f.store));
        CHECK(fake_calls(s.f.store, FAKE_REMOVE) > 0);
        scene_close(&s);
    }
}

CKIT_TEST(interop, memory_serves_documents_without_a_store_too) {
    scene s = {.p = {.what = ALICE_UNSORTED}};
    fixture_open_memory(&s.f);
    s.fn = shared(s.f.cache, "get_user", &s.p);
    check_alice(s.fn, 42, CKIT_SOURCE_FUNCTION);
    check_alice(s.fn, 42, CKIT_SOURCE_MEMORY);
    scene_close(&s);
}

CKIT_TEST(interop, troubles_of_the_store_are_no_errors_of_the_caller) {
    scene s;
    scene_open(&s, FAKE_LOCKING);
    fake_fail(s.f.store, FAKE_GET, CKIT_E_UNREACHABLE, UINT64_MAX);
    fake_fail(s.f.store, FAKE_SET, CKIT_E_UNREACHABLE, UINT64_MAX);
    check_alice(s.fn, 42, CKIT_SOURCE_FUNCTION);
    check_alice(s.fn, 42, CKIT_SOURCE_MEMORY);
    scene_close(&s);
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void check_refused_everywhere(scene *s, ckit_args *args, ckit_status expected, const char *why) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_op   *op = NULL;
    ckit_buf   key = CKIT_BUF_INIT;
    ckit_start start = {.struct_size = sizeof start, .function = s->fn, .args = args};
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS(expected, ckit_call(s->fn, args, &value, &err));
    CHECK_CONTAINS(why, err.text);
    err = (ckit_error)CKIT_ERROR_INIT;
    CHECK_STATUS(expected, ckit_begin(&start, &op, &value, &err));
    CHECK_CONTAINS(why, err.text);
    CHECK_EQ_P(NULL, op);
    CHECK_STATUS(expected, ckit_refresh(s->fn, args, &value, &err));
    CHECK_STATUS(expected, ckit_invalidate(s->fn, args, &err));
    CHECK_STATUS(expected, ckit_function_key(s->fn, args, &key, &err));
    CHECK_EQ_U(0, key.len);
    CHECK_EQ_U(0, s->p.runs);
    CHECK_EQ_U(0, fake_count(s->f.store));
    ckit_args_fini(args);
}

CKIT_TEST(interop, an_argument_outside_of_the_model_is_told_and_the_function_does_not_run) {
    scene             s;
    ckit_args         args;
    ckit_interop_args values;
    scene_open(&s, FAKE_FULL);
    with_number(&args, (double)INFINITY);
    check_refused_everywhere(&s, &args, CKIT_E_KEY_ARGUMENT, "an infinite float");
    ckit_interop_args_init(&values, NULL);
    ckit_interop_args_int(&values, 1);
    ckit_interop_args_integer(&values, S("18446744073709551616"));
    ckit_args_init(&args);
    ckit_args_interop(&args, &values);
    check_refused_everywhere(&s, &args, CKIT_E_KEY_ARGUMENT, "above 2^64-1 (behind 1 positional");
    ckit_interop_args_fini(&values);
    ckit_interop_args_init(&values, NULL);
    ckit_interop_args_array(&values, 2);
    ckit_args_init(&args);
    ckit_args_interop(&args, &values);
    check_refused_everywhere(&s, &args, CKIT_E_MISUSE, "waits for values");
    ckit_interop_args_fini(&values);
    scene_close(&s);
}

CKIT_TEST(interop, arguments_that_were_made_for_another_kind_of_key_are_refused) {
    scene     s;
    ckit_args args;
    scene_open(&s, FAKE_FULL);
    ckit_args_init(&args);
    ckit_args_int(&args, 42);
    check_refused_everywhere(&s, &args, CKIT_E_MISUSE, "ckit_args_interop");
    with_number(&args, 42);
    ckit_args_int(&args, 1);
    check_refused_everywhere(&s, &args, CKIT_E_MISUSE, "an argument behind those of interop mode");
    with_number(&args, 42);
    ckit_args_keyword(&args, S("name"));
    check_refused_everywhere(&s, &args, CKIT_E_MISUSE, "a keyword, which arguments of interop mode do not have");
    scene_close(&s);
}

CKIT_TEST(interop, a_value_outside_of_the_model_is_told_after_the_function_ran_and_not_stored) {
    scene      s;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    scene_open(&s, FAKE_LOCKING);
    s.p.what = NOT_A_NUMBER;
    CHECK_STATUS(CKIT_E_VALUE_TYPE, ask(ckit_call, s.fn, 42, &value, &err));
    CHECK_CONTAINS("not a number", err.text);
    CHECK_EQ_U(1, s.p.runs);
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK(!fake_is_locked(s.f.store));
    s.p.what = ALICE_UNSORTED;
    check_alice(s.fn, 42, CKIT_SOURCE_FUNCTION);
    scene_close(&s);
}

CKIT_TEST(interop, an_operation_that_a_program_finishes_itself_follows_the_same_rules) {
    scene       s;
    ckit_args   args;
    ckit_op    *op = NULL;
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_result nan = {.struct_size = sizeof nan, .document = S("\xcb\x7f\xf8\0\0\0\0\0\0")};
    ckit_result two = {.struct_size = sizeof two,
                       .document = S("\x82\xa1"
                                     "b\x02\xa1"
                                     "a\xd1\x00\x01")};
    scene_open(&s, FAKE_FULL);
    with_number(&args, 42);
    ckit_start start = {.struct_size = sizeof start, .function = s.fn, .args = &args};
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, &err));
    nan.document.len = 9;
    CHECK_STATUS(CKIT_E_VALUE_TYPE, ckit_finish(op, &nan, &value, &err));
    ckit_op_free(op);
    two.document.len = 9;
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, &err));
    CHECK_OK_ERR(ckit_finish(op, &two, &value, &err), &err);
    CHECK_TEXT("\x82\xa1"
               "a\x01\xa1"
               "b\x02",
               value.data);
    CHECK_TEXT("\x82\xa1"
               "a\x01\xa1"
               "b\x02",
               fake_only_value(s.f.store));
    ckit_value_fini(&value);
    ckit_op_free(op);
    ckit_args_fini(&args);
    scene_close(&s);
}

static ckit_slice some_prefix(void *self) {
    (void)self;
    return S("t:default:");
}

static void leave_open(void *self) { (void)self; }

CKIT_TEST(interop, options_that_contradict_it_are_refused) {
    fixture        f;
    ckit_function *fn;
    ckit_error     err = CKIT_ERROR_INIT;
    fixture_open(&f, FAKE_FULL);
    static const struct {
        const char *namespace_name, *operation, *why;
        bool        raw, custom_key;
    } wrong[] = {{NULL, "get", "namespace: empty", false, false},
                 {"", "get", "namespace: empty", false, false},
                 {"Users", "get", "namespace: begins with 0x55", false, false},
                 {"users", "", "operation: empty", false, false},
                 {"users", "get user", "operation: byte 4", false, false},
                 {"users", "get", "raw", true, false},
                 {"users", "get", "custom_key", false, true}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
        options.namespace_name = wrong[i].namespace_name;
        options.interop = wrong[i].operation;
        options.raw = wrong[i].raw;
        options.custom_key = wrong[i].custom_key;
        CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_function_new(f.cache, "t", NULL, NULL, &options, &fn, &err));
        CHECK_CONTAINS(wrong[i].why, err.text);
        CHECK_EQ_P(NULL, fn);
    }
    fixture_close(&f);
}

CKIT_TEST(interop, a_store_that_puts_something_in_front_of_keys_is_refused) {
    fixture        f;
    ckit_cache    *cache;
    ckit_function *fn;
    ckit_backend  *backend;
    ckit_value     value = CKIT_VALUE_INIT;
    ckit_error     err = CKIT_ERROR_INIT;
    fixture_open(&f, FAKE_FULL);
    ckit_backend    *inner = fake_connect(f.store, FAKE_FULL);
    ckit_backend_ops ops = *ckit_backend_operations(inner);
    ops.key_prefix = some_prefix;
    ops.close = leave_open;
    CHECK_OK(ckit_backend_new(&ops, ckit_backend_self(inner), NULL, &backend, NULL));
    CHECK_OK(ckit_cache_new(&f.options, backend, &cache, NULL));
    ckit_function_options options = shared_options("get_user");
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_function_new(cache, "t", NULL, NULL, &options, &fn, &err));
    CHECK_CONTAINS("prefix", err.text);
    ckit_entry_options entry = CKIT_ENTRY_OPTIONS_INIT;
    entry.encoding = CKIT_INTEROP;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_cache_get(cache, S(KEY_OF_42), &entry, &value, &err));
    ckit_cache_close(cache);
    ckit_backend_close(inner);
    fixture_close(&f);
}

/* ---- who shares what --------------------------------------------------------------------------------------------- */

CKIT_TEST(interop, functions_of_one_operation_share_memory_and_those_of_similar_names_do_not) {
    scene  s;
    person second = {.what = ALICE_UNSORTED}, third = {.what = ALICE_UNSORTED};
    scene_open(&s, FAKE_FULL);
    ckit_function *same = shared(s.f.cache, "get_user", &second);
    ckit_function *dash = shared(s.f.cache, "get-user", &third);
    check_alice(s.fn, 1, CKIT_SOURCE_FUNCTION);
    check_alice(same, 1, CKIT_SOURCE_MEMORY);
    check_alice(dash, 1, CKIT_SOURCE_FUNCTION);
    CHECK_EQ_U(0, second.runs);
    CHECK_OK(forget(same, 1));
    check_alice(s.fn, 1, CKIT_SOURCE_FUNCTION);
    check_alice(dash, 1, CKIT_SOURCE_MEMORY);
    ckit_function_close(same);
    ckit_function_close(dash);
    scene_close(&s);
}

CKIT_TEST(interop, a_function_of_that_name_outside_of_interop_mode_has_other_entries) {
    scene                 s;
    loader                l;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    scene_open(&s, FAKE_FULL);
    loader_init(&l);
    options.namespace_name = "users";
    ckit_function *plain = function_of(s.f.cache, "get_user", &l, &options);
    check_alice(s.fn, 42, CKIT_SOURCE_FUNCTION);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, plain, 42);
    check_alice(s.fn, 42, CKIT_SOURCE_MEMORY);
    ckit_function_close(plain);
    scene_close(&s);
}

CKIT_TEST(interop, numbers_that_are_one_argument_are_one_entry) {
    scene s;
    scene_open(&s, FAKE_FULL);
    check_alice(s.fn, 0.0, CKIT_SOURCE_FUNCTION);
    check_alice(s.fn, -0.0, CKIT_SOURCE_MEMORY);
    check_alice(s.fn, 0.5, CKIT_SOURCE_FUNCTION);
    CHECK_EQ_U(2, fake_count(s.f.store));
    scene_close(&s);
}

CKIT_TEST(interop, one_call_or_all_are_forgotten_in_both_tiers) {
    scene s;
    scene_open(&s, FAKE_FULL);
    check_alice(s.fn, 1, CKIT_SOURCE_FUNCTION);
    check_alice(s.fn, 2, CKIT_SOURCE_FUNCTION);
    CHECK_OK(forget(s.fn, 1));
    CHECK_STATUS(CKIT_MISS, forget(s.fn, 1));
    CHECK_EQ_U(1, fake_count(s.f.store));
    check_alice(s.fn, 2, CKIT_SOURCE_MEMORY);
    CHECK_OK(ckit_function_invalidate(s.fn, NULL, NULL));
    CHECK_EQ_U(0, fake_count(s.f.store));
    check_alice(s.fn, 2, CKIT_SOURCE_FUNCTION);
    ckit_function_stats stats = CKIT_FUNCTION_STATS_INIT;
    ckit_function_get_stats(s.fn, &stats);
    CHECK_EQ_U(3, stats.computed);
    CHECK_EQ_U(1, stats.l1_hits);
    scene_close(&s);
}

CKIT_TEST(interop, a_stale_value_is_served_while_a_fresh_one_is_computed) {
    scene s = {.p = {.what = ALICE_UNSORTED}};
    fixture_open(&s.f, FAKE_FULL);
    ckit_function_options options = shared_options("get_user");
    ckit_value            value = CKIT_VALUE_INIT;
    options.ttl_ms = 1000;
    options.stale_ms = 1000;
    CHECK_OK(ckit_function_new(s.f.cache, "test.person", load_person, &s.p, &options, &s.fn, NULL));
    check_alice(s.fn, 42, CKIT_SOURCE_FUNCTION);
    fake_clock_advance(&s.f.time, 1500);
    CHECK_OK(ask(ckit_call, s.fn, 42, &value, NULL));
    CHECK(value.stale);
    ckit_value_fini(&value);
    fake_wait_calls(s.f.store, FAKE_SET, 4); /* each value under its key, and where it is kept for later */
    ckit_function_close(s.fn);               /* which waits for the refresh */
    CHECK_EQ_U(2, s.p.runs);
    CHECK_EQ_I(42, s.p.id);
    fake_clock_advance(&s.f.time, 1500);
    CHECK_TEXT(ALICE, fake_only_value(s.f.store));
    fixture_close(&s.f);
}

/* ---- entries by key ---------------------------------------------------------------------------------------------- */

static ckit_entry_options interop_entry(void) {
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.encoding = CKIT_INTEROP;
    return options;
}

CKIT_TEST(interop, an_entry_by_key_is_written_in_canonical_form_and_read_in_any) {
    scene              s;
    ckit_entry_options options = interop_entry();
    ckit_value         value = CKIT_VALUE_INIT;
    static const char  key[] = "orders:last:61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875";
    scene_open(&s, FAKE_FULL);
    CHECK_OK(ckit_cache_set(s.f.cache, S(key),
                            S("\x82\xa1"
                              "b\x02\xa1"
                              "a\x01"),
                            &options, NULL));
    CHECK_TEXT("\x82\xa1"
               "a\x01\xa1"
               "b\x02",
               fake_only_value(s.f.store));
    CHECK_OK(ckit_cache_get(s.f.cache, S(key), &options, &value, NULL));
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, value.source);
    CHECK_TEXT("\x82\xa1"
               "a\x01\xa1"
               "b\x02",
               value.data);
    ckit_cache *other = fixture_cache(&s.f, FAKE_FULL);
    fake_put(s.f.store, S(key), S("\xcc\x05"), 5000);
    CHECK_OK(ckit_cache_get(other, S(key), &options, &value, NULL));
    CHECK_TEXT("\xcc\x05", value.data);
    ckit_value_fini(&value);
    ckit_cache_close(other);
    scene_close(&s);
}

CKIT_TEST(interop, an_entry_by_key_with_a_wrong_key_or_value_is_refused) {
    scene              s;
    ckit_entry_options options = interop_entry();
    ckit_error         err = CKIT_ERROR_INIT;
    scene_open(&s, FAKE_FULL);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_cache_set(s.f.cache, S("users:get_user:42"), S("\x01"), &options, &err));
    CHECK_STATUS(CKIT_E_VALUE_TYPE, ckit_cache_set(s.f.cache, S(KEY_OF_42), S("\x81\x01\x01"), &options, &err));
    CHECK_STATUS(CKIT_E_TRAILING, ckit_cache_set(s.f.cache, S(KEY_OF_42), S("\x01\x01"), &options, &err));
    CHECK_EQ_U(0, fake_count(s.f.store));
    scene_close(&s);
}

CKIT_TEST(interop, a_damaged_entry_by_key_is_removed_and_a_miss) {
    scene              s;
    ckit_entry_options options = interop_entry();
    ckit_value         value = CKIT_VALUE_INIT;
    scene_open(&s, FAKE_FULL);
    fake_put(s.f.store, S(KEY_OF_42), S("CK\x03"), 5000);
    CHECK_STATUS(CKIT_MISS, ckit_cache_get(s.f.cache, S(KEY_OF_42), &options, &value, NULL));
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_corrupt);
    scene_close(&s);
}

CKIT_TEST(interop, who_changes_an_entry_by_its_key_changes_it_for_the_function_too) {
    scene              s;
    ckit_entry_options options = interop_entry();
    ckit_value         value = CKIT_VALUE_INIT;
    scene_open(&s, FAKE_FULL);
    check_alice(s.fn, 42, CKIT_SOURCE_FUNCTION);
    CHECK_OK(ckit_cache_get(s.f.cache, S(KEY_OF_42), &options, &value, NULL));
    CHECK_TEXT(ALICE, value.data);
    CHECK_OK(ckit_cache_set(s.f.cache, S(KEY_OF_42), S("\x07"), &options, NULL));
    CHECK_OK(ask(ckit_call, s.fn, 42, &value, NULL));
    CHECK_EQ_U(CKIT_SOURCE_STORE, value.source);
    CHECK_TEXT("\x07", value.data);
    CHECK_OK(ckit_cache_delete(s.f.cache, S(KEY_OF_42), &options, NULL));
    check_alice(s.fn, 42, CKIT_SOURCE_FUNCTION);
    ckit_value_fini(&value);
    scene_close(&s);
}

CKIT_TEST(interop, without_a_store_an_entry_tells_with_which_encoding_it_was_stored) {
    fixture            f;
    ckit_entry_options options = interop_entry(), raw = interop_entry();
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    fixture_open_memory(&f);
    raw.encoding = CKIT_RAW;
    CHECK_OK(ckit_cache_set(f.cache, S(KEY_OF_42), S("\x07"), &options, NULL));
    CHECK_STATUS(CKIT_E_VALUE_TYPE, ckit_cache_get(f.cache, S(KEY_OF_42), &raw, &value, &err));
    CHECK_CONTAINS("CKIT_INTEROP", err.text);
    CHECK_OK(ckit_cache_exists(f.cache, S(KEY_OF_42), &raw, NULL));
    CHECK_OK(ckit_cache_delete(f.cache, S(KEY_OF_42), &raw, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_get(f.cache, S(KEY_OF_42), &options, &value, NULL));
    fixture_close(&f);
}
