/* scopes.c [URL] - who an entry belongs to: a function, a namespace, everything; invalidating and listing by it. */
#include <cachekit/cachekit.h>
#include <stdio.h>

/* Writes its first argument back and counts its runs. */
static ckit_status echo(void *context, ckit_load *load, ckit_error *err) {
    ckit_reader args;
    ckit_args_positional(load->args, &args);
    int64_t n = ckit_read_int(&args);
    ++*(unsigned *)context;
    ckit_write_int(load->result, n);
    return ckit_reader_finish(&args, err);
}

/* Three functions: two of one team, one of another. */
typedef struct shop {
    ckit_cache    *cache;
    ckit_function *prices;
    ckit_function *stock;
    ckit_function *letters;
    unsigned       runs;
} shop;

static ckit_status add(shop *s, const char *namespace_name, const char *name, ckit_function **out, ckit_error *err) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = namespace_name;
    return ckit_function_new(s->cache, name, echo, &s->runs, &options, out, err);
}

static ckit_status open_shop(shop *s, const char *url, ckit_error *err) {
    ckit_status st = ckit_cache_open(url, NULL, &s->cache, err);
    if (st == CKIT_OK) {
        st = add(s, "goods", "shop.price", &s->prices, err);
    }
    if (st == CKIT_OK) {
        st = add(s, "goods", "shop.stock", &s->stock, err);
    }
    if (st == CKIT_OK) {
        st = add(s, "mail", "shop.letter", &s->letters, err);
    }
    return st;
}

static void close_shop(shop *s) {
    ckit_function_close(s->prices);
    ckit_function_close(s->stock);
    ckit_function_close(s->letters);
    ckit_cache_close(s->cache);
}

/* Calls every function with 0, 1 and 2; says how often one of them really ran. */
static ckit_status call_all(shop *s, const char *after, unsigned expected, ckit_error *err) {
    ckit_function *all[] = {s->prices, s->stock, s->letters};
    ckit_status    st = CKIT_OK;
    s->runs = 0;
    for (int i = 0; i < 9 && st == CKIT_OK; i++) {
        ckit_args  args;
        ckit_value value = CKIT_VALUE_INIT;
        ckit_args_init(&args);
        ckit_args_int(&args, i % 3);
        st = ckit_call(all[i / 3], &args, &value, err);
        ckit_value_fini(&value);
        ckit_args_fini(&args);
    }
    printf("%-34s %u of 9 calls computed\n", after, s->runs);
    return st != CKIT_OK || s->runs == expected
               ? st
               : ckit_fail(err, CKIT_E_MISUSE, "scopes", "expected %u runs, saw %u", expected, s->runs);
}

static ckit_status show(void *context, const ckit_listed *entry) {
    ++*(unsigned *)context;
    printf("  %.*s of %.*s, %llu bytes\n", (int)entry->function.len, (const char *)entry->function.ptr,
           (int)entry->namespace_name.len, (const char *)entry->namespace_name.ptr, (unsigned long long)entry->size);
    return CKIT_OK;
}

/* Memory alone cannot list; a store that can shows every entry. */
static ckit_status list_goods(shop *s, ckit_error *err) {
    unsigned    shown = 0;
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_scope  goods = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = ckit_slice_str("goods")};
    ckit_status st = ckit_cache_list(s->cache, &goods, show, &shown, &why);
    if (st == CKIT_E_UNSUPPORTED) {
        printf("  (%s)\n", why.text);
        return CKIT_OK;
    }
    return st == CKIT_OK && shown == 6 ? CKIT_OK : ckit_fail(err, CKIT_E_MISUSE, "scopes", "%u listed", shown);
}

static ckit_status tour(shop *s, ckit_error *err) {
    ckit_scope  all = {.kind = CKIT_SCOPE_ALL};
    ckit_scope  goods = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = ckit_slice_str("goods")};
    ckit_status st;
    if ((st = ckit_cache_invalidate(s->cache, &all, NULL, err)) != CKIT_OK ||
        (st = call_all(s, "everything forgotten:", 9, err)) != CKIT_OK ||
        (st = call_all(s, "once more:", 0, err)) != CKIT_OK || (st = list_goods(s, err)) != CKIT_OK ||
        (st = ckit_function_invalidate(s->prices, NULL, err)) != CKIT_OK ||
        (st = call_all(s, "function shop.price forgotten:", 3, err)) != CKIT_OK ||
        (st = ckit_cache_invalidate(s->cache, &goods, NULL, err)) != CKIT_OK ||
        (st = call_all(s, "namespace goods forgotten:", 6, err)) != CKIT_OK) {
        return st;
    }
    return CKIT_OK;
}

int main(int argc, char **argv) {
    ckit_error  err = CKIT_ERROR_INIT;
    shop        s = {.cache = NULL};
    ckit_status st = open_shop(&s, argc > 1 ? argv[1] : "memory:", &err);
    if (st == CKIT_OK) {
        st = tour(&s, &err);
    }
    if (st != CKIT_OK) {
        fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
    }
    close_shop(&s);
    return st == CKIT_OK ? 0 : 1;
}
