/* Callers of a function are told apart by their tenant, in keys, in memory and by what is authenticated. Of
 * careful.c. */
#include "cache/sealing_fixture.h"
#include "format/sealed.h"

/* The first argument names the tenant. */
static ckit_status tenant_of(void *context, const ckit_args *args, ckit_buf *tenant, ckit_error *err) {
    ckit_reader r;
    (void)context;
    if (ckit_args_positional(args, &r) == 0 || ckit_reader_peek(&r) != CKIT_TYPE_STR) {
        return ckit_fail(err, CKIT_E_KEY_ARGUMENT, "test", "no tenant");
    }
    return ckit_buf_append(tenant, ckit_read_str(&r));
}

/* With `told` the tenant is told beside the arguments, and with `named` it is one of them. */
static answer tenant_call(ckit_function *fn, const char *told, const char *named) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    answer     a = {.error = CKIT_ERROR_INIT};
    ckit_args_init(&args);
    if (named != NULL) {
        ckit_args_str(&args, S(named));
    }
    ckit_args_int(&args, 1);
    if (told != NULL) {
        ckit_args_tenant(&args, S(told));
    }
    a.status = ckit_call(fn, &args, &value, &a.error);
    if (a.status == CKIT_OK) {
        a.number = read_number(&value);
        a.source = value.source;
    }
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return a;
}

static void check_tenant(vault *v, const char *told, ckit_source source, uint64_t number) {
    answer a = tenant_call(v->fn, told, NULL);
    CHECK_STATUS_ERR(CKIT_OK, a.status, &a.error);
    CHECK_EQ_U(source, a.source);
    CHECK_EQ_U(number, a.number);
}

static void tenants_open(vault *v, bool store, bool sealed) {
    ckit_function_options options = one_function();
    vault_prepare(v);
    v->f.options.encryption = sealed ? CKIT_ON : CKIT_OFF;
    vault_start(v, store);
    ckit_function_close(v->fn);
    options.tenants = true;
    v->fn = function_of(v->f.cache, "test.load", &v->l, &options);
}

CKIT_TEST(tenants, equal_calls_of_two_tenants_have_entries_of_their_own_in_store_and_memory) {
    for (int form = 0; form < 4; form++) {
        vault v;
        bool  store = (form & 1) != 0;
        tenants_open(&v, store, (form & 2) != 0);
        check_tenant(&v, "acme", CKIT_SOURCE_FUNCTION, 4711);
        v.l.result = 5;
        check_tenant(&v, "zeta", CKIT_SOURCE_FUNCTION, 5);
        check_tenant(&v, "acme", CKIT_SOURCE_MEMORY, 4711);
        check_tenant(&v, "zeta", CKIT_SOURCE_MEMORY, 5);
        CHECK_EQ_U(store ? 2 : 0, store ? fake_count(v.f.store) : 0);
        vault_close(&v);
    }
}

CKIT_TEST(tenants, the_stored_key_begins_with_the_encoded_tenant_and_the_bare_key_is_authenticated) {
    vault v;
    tenants_open(&v, true, true);
    check_tenant(&v, "a/b", CKIT_SOURCE_FUNCTION, 4711);
    ckit_slice key = fake_only_key(v.f.store);
    CHECK_TEXT("t:a%2Fb:ns:n:func:test.load:args:", ckit_slice_of(key.ptr, 33));
    ckit_buf           document = {0};
    ckiti_sealed_class cls;
    ckiti_sealed_place place = {.ring = v.ring, .tenant = S("a/b"), .key = ckit_slice_of(key.ptr + 8, key.len - 8)};
    CHECK_OK(ckiti_sealed_open(&place, fake_only_value(v.f.store), true, 0, &document, &cls, NULL));
    ckit_buf_fini(&document);
    vault_close(&v);
}

CKIT_TEST(tenants, an_entry_that_was_moved_from_another_tenant_is_refused_and_counted) {
    vault v;
    tenants_open(&v, true, true);
    check_tenant(&v, "acme", CKIT_SOURCE_FUNCTION, 4711);
    ckit_slice key = fake_only_key(v.f.store);
    ckit_buf   moved = {0}, theirs = {0};
    CHECK_OK(ckit_buf_append(&moved, fake_only_value(v.f.store)));
    CHECK_OK(ckit_buf_append(&theirs, S("t:zeta")));
    CHECK_OK(ckit_buf_append(&theirs, ckit_slice_of(key.ptr + 6, key.len - 6)));
    fake_put(v.f.store, ckit_buf_slice(&theirs), ckit_buf_slice(&moved), 5000);
    v.l.result = 5;
    check_tenant(&v, "zeta", CKIT_SOURCE_FUNCTION, 5);
    CHECK_EQ_U(1, stats_of(v.f.cache).auth_failures_l2);
    ckit_buf_fini(&moved);
    ckit_buf_fini(&theirs);
    vault_close(&v);
}

CKIT_TEST(tenants, without_a_tenant_the_function_runs_and_nothing_is_kept) {
    char too_long[CKIT_TENANT_MAX_BYTES + 2];
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    const struct {
        const char *tenant, *why;
    } bad[] = {{NULL, "the call has no tenant: ckit_args_tenant or tenant_of tells it"},
               {"", "the call has no tenant"},
               {"\xff", "the tenant is not UTF-8"},
               {too_long, "a tenant of 1025 bytes, allowed are 1 to 1024"}};
    vault v;
    tenants_open(&v, true, true);
    for (size_t i = 0; i < COUNT(bad); i++) {
        const size_t said = v.f.log.len;
        check_tenant(&v, bad[i].tenant, CKIT_SOURCE_FUNCTION, 4711);
        CHECK_EQ_U(i + 1, stats_of(v.f.cache).uncached);
        CHECK_CONTAINS(bad[i].why, v.f.log.text + said);
    }
    CHECK_EQ_U(0, fake_count(v.f.store));
    vault_close(&v);
}

CKIT_TEST(tenants, the_function_names_the_tenant_of_a_call_unless_the_arguments_do) {
    vault                 v;
    ckit_function_options options = one_function();
    vault_open(&v, true);
    options.tenant_of = tenant_of;
    ckit_function *fn = function_of(v.f.cache, "test.named", &v.l, &options);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, tenant_call(fn, NULL, "acme").source);
    CHECK_TEXT("t:acme:", ckit_slice_of(fake_only_key(v.f.store).ptr, 7));
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, tenant_call(fn, NULL, "acme").source);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, tenant_call(fn, "zeta", "acme").source);
    CHECK_EQ_U(0, stats_of(v.f.cache).uncached);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, tenant_call(fn, NULL, NULL).source);
    CHECK_EQ_U(1, stats_of(v.f.cache).uncached);
    ckit_function_close(fn);
    vault_close(&v);
}

CKIT_TEST(tenants, one_call_of_one_tenant_is_invalidated_alone) {
    vault     v;
    ckit_args args;
    tenants_open(&v, true, true);
    check_tenant(&v, "acme", CKIT_SOURCE_FUNCTION, 4711);
    check_tenant(&v, "zeta", CKIT_SOURCE_FUNCTION, 4711);
    ckit_args_init(&args);
    ckit_args_int(&args, 1);
    ckit_args_tenant(&args, S("acme"));
    CHECK_OK(ckit_invalidate(v.fn, &args, NULL));
    ckit_args_fini(&args);
    v.l.result = 6;
    check_tenant(&v, "zeta", CKIT_SOURCE_MEMORY, 4711);
    check_tenant(&v, "acme", CKIT_SOURCE_FUNCTION, 6);
    CHECK_OK(ckit_function_invalidate(v.fn, NULL, NULL));
    check_tenant(&v, "zeta", CKIT_SOURCE_FUNCTION, 6);
    vault_close(&v);
}

CKIT_TEST(tenants, deleting_an_entry_by_its_key_makes_memory_forget_it_too) {
    vault v;
    tenants_open(&v, true, true);
    check_tenant(&v, "acme", CKIT_SOURCE_FUNCTION, 4711);
    ckit_buf key = {0};
    CHECK_OK(ckit_buf_append(&key, fake_only_key(v.f.store)));
    CHECK_OK(ckit_cache_delete(v.f.cache, ckit_buf_slice(&key), NULL, NULL));
    v.l.result = 7;
    check_tenant(&v, "acme", CKIT_SOURCE_FUNCTION, 7);
    ckit_buf_fini(&key);
    vault_close(&v);
}
