#include "cache/sealing_fixture.h"

#include "cache/core.h"
#include "cache/memkey.h"

static void ignore_line(void *self, ckit_log_level level, const char *component, const char *line) {
    (void)self, (void)level, (void)component, (void)line;
}

const ckit_log quiet_log = {.write = ignore_line};

ckit_keyring *ring_of(const char *current, const char *previous) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    ckit_error           err = CKIT_ERROR_INIT;
    options.master_key_hex = current;
    options.previous_keys_hex = previous;
    options.log = &quiet_log;
    CHECK_OK_ERR(ckit_keyring_open(&options, &ring, &err), &err);
    return ring;
}

ckit_function_options one_function(void) {
    return (ckit_function_options){.struct_size = sizeof(ckit_function_options), .namespace_name = "n"};
}

void vault_prepare(vault *v) {
    fixture_prepare(&v->f);
    v->ring = ring_of(KEY_A, NULL);
    v->f.options.keyring = v->ring;
    v->f.options.encryption = CKIT_ON;
}

void vault_start(vault *v, bool store) {
    const ckit_function_options options = one_function();
    if (store) {
        fixture_start(&v->f, FAKE_LOCKING);
    } else {
        fixture_start_memory(&v->f);
    }
    loader_init(&v->l);
    v->l.result = 4711;
    v->l.size = 300;
    v->fn = function_of(v->f.cache, "test.load", &v->l, &options);
}

void vault_open(vault *v, bool store) {
    vault_prepare(v);
    vault_start(v, store);
}

void vault_close(vault *v) {
    ckit_function_close(v->fn);
    fixture_close(&v->f);
    ckit_keyring_close(v->ring);
}

other other_of(vault *v, const ckit_cache_options *options) {
    other                       o = {NULL, NULL};
    ckit_error                  err = CKIT_ERROR_INIT;
    const ckit_function_options of = one_function();
    CHECK_OK_ERR(ckit_cache_new(options, fake_connect(v->f.store, FAKE_LOCKING), &o.cache, &err), &err);
    o.fn = function_of(o.cache, "test.load", &v->l, &of);
    return o;
}

void other_close(other *o) {
    ckit_function_close(o->fn);
    ckit_cache_close(o->cache);
}

static void name_call(const vault *v, ckiti_memkey *out) {
    ckit_args  args;
    ckit_slice packed;
    ckit_args_init(&args);
    ckit_args_int(&args, 1);
    CHECK_OK(ckit_args_pack(&args, &packed, NULL));
    ckiti_memkey_make(out, v->fn->record->id, packed);
    ckit_args_fini(&args);
}

void vault_look(const vault *v, ckit_value *out) {
    ckiti_memkey   name;
    ckiti_l1      *l1 = v->fn->record->ns->l1;
    ckiti_l1_query query = {.tag = CKITI_TAG_SEALED};
    name_call(v, &name);
    query.key = ckiti_memkey_slice(&name);
    query.hash = ckiti_l1_hash(l1, query.key);
    CHECK_OK(ckiti_l1_get(l1, &query, ckiti_cache_now(v->f.cache), out));
}

void vault_plant(const vault *v, ckit_slice bytes) {
    ckiti_memkey      name;
    ckiti_l1         *l1 = v->fn->record->ns->l1;
    ckiti_l1_put_args put = {.value = bytes, .life_ms = 5000, .birth = ckiti_l1_birth(l1), .tag = CKITI_TAG_SEALED};
    name_call(v, &name);
    put.key = ckiti_memkey_slice(&name);
    put.hash = ckiti_l1_hash(l1, put.key);
    CHECK_OK(ckiti_l1_put(l1, &put, ckiti_cache_now(v->f.cache)));
}

bool contains(ckit_slice bytes, uint8_t repeated) {
    uint8_t needle[16];
    memset(needle, repeated, sizeof needle);
    return bytes.len > 0 && memmem(bytes.ptr, bytes.len, needle, sizeof needle) != NULL;
}
