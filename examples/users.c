/* users.c [URL] - a loader with arguments: positional and by name, lifetimes, errors, invalidation.
 *
 * The URL says where the cache lives: memory: (the default) or file:///some/directory. */
#include <cachekit/cachekit.h>
#include <stdio.h>

/* Stands in for a database. */
typedef struct database {
    const char *names[3];
    unsigned    queries;
} database;

/* load_user(id, *, detail=false) -> {"id": ..., "name": ..., ["queries": ...]} */
static ckit_status load_user(void *context, ckit_load *load, ckit_error *err) {
    database   *db = context;
    ckit_reader args;
    ckit_reader keyword;
    ckit_args_positional(load->args, &args);
    uint64_t    id = ckit_read_uint(&args);
    ckit_status st = ckit_reader_finish(&args, err); /* one number, and nothing else */
    if (st != CKIT_OK) {
        return st;
    }
    bool detail = ckit_args_find_keyword(load->args, ckit_slice_str("detail"), &keyword) && ckit_read_bool(&keyword);

    db->queries++;
    if (id >= 3) { /* the function's own error: it goes to the caller and is never cached */
        return ckit_fail(err, CKIT_E_FUNCTION, "users", "there is no user %llu", (unsigned long long)id);
    }
    if (db->names[id] == NULL) { /* "nobody yet" is a value like any other; this one lives for a minute only */
        load->ttl_ms = 60 * 1000;
        ckit_write_nil(load->result);
        return CKIT_OK;
    }
    ckit_write_map(load->result, detail ? 3 : 2);
    ckit_write_cstr(load->result, "id");
    ckit_write_uint(load->result, id);
    ckit_write_cstr(load->result, "name");
    ckit_write_cstr(load->result, db->names[id]);
    if (detail) {
        ckit_write_cstr(load->result, "queries");
        ckit_write_uint(load->result, db->queries);
    }
    return CKIT_OK;
}

/* The name in a user's document, looked up by its key; "nobody" for nil. Points into the document. */
static ckit_status name_of(ckit_slice document, ckit_slice *name, ckit_error *err) {
    ckit_reader r;
    ckit_reader_init(&r, document);
    *name = ckit_slice_str("nobody");
    if (ckit_reader_peek(&r) == CKIT_TYPE_NIL) {
        ckit_read_nil(&r);
        return ckit_reader_finish(&r, err);
    }
    for (uint32_t left = ckit_read_map(&r); left > 0; left--) {
        if (ckit_slice_equal(ckit_read_str(&r), ckit_slice_str("name"))) {
            *name = ckit_read_str(&r);
        } else {
            ckit_read_skip(&r);
        }
    }
    return ckit_reader_finish(&r, err);
}

static const char *source_name(ckit_source source) {
    static const char *const names[] = {"nowhere", "memory", "the store", "the function", "another call"};
    return names[source];
}

static ckit_status show_user(ckit_function *users, uint64_t id, bool detail, ckit_error *err) {
    ckit_args  args;
    ckit_value user = CKIT_VALUE_INIT;
    ckit_slice name;
    ckit_args_init(&args);
    ckit_args_uint(&args, id);
    if (detail) {
        ckit_args_keyword(&args, ckit_slice_str("detail"));
        ckit_args_bool(&args, true);
    }
    ckit_status st = ckit_call(users, &args, &user, err);
    if (st == CKIT_OK) {
        st = name_of(user.data, &name, err);
    }
    if (st == CKIT_OK) {
        printf("user %llu is %.*s (from %s, %llu ms to live)\n", (unsigned long long)id, (int)name.len,
               (const char *)name.ptr, source_name(user.source), (unsigned long long)user.life_ms);
    }
    ckit_value_fini(&user);
    ckit_args_fini(&args);
    return st;
}

/* The database changes, so one remembered call is forgotten, in memory and in the store. */
static ckit_status rename_user(ckit_function *users, database *db, uint64_t id, const char *name, ckit_error *err) {
    ckit_args args;
    db->names[id] = name;
    ckit_args_init(&args);
    ckit_args_uint(&args, id);
    ckit_status st = ckit_invalidate(users, &args, err); /* CKIT_MISS: there was nothing to forget */
    ckit_args_fini(&args);
    return st == CKIT_MISS ? CKIT_OK : st;
}

static ckit_status tour(ckit_function *users, database *db, ckit_error *err) {
    ckit_error  refused = CKIT_ERROR_INIT;
    ckit_status st;
    if ((st = ckit_function_invalidate(users, NULL, err)) != CKIT_OK || /* what an earlier run left behind */
        (st = show_user(users, 0, false, err)) != CKIT_OK ||            /* query 1 */
        (st = show_user(users, 0, false, err)) != CKIT_OK ||
        (st = show_user(users, 0, true, err)) != CKIT_OK ||  /* another call: query 2 */
        (st = show_user(users, 2, false, err)) != CKIT_OK || /* nobody: query 3 */
        (st = show_user(users, 2, false, err)) != CKIT_OK ||
        (st = rename_user(users, db, 0, "Alice Liddell", err)) != CKIT_OK ||
        (st = show_user(users, 0, false, err)) != CKIT_OK) { /* query 4 */
        return st;
    }
    for (int i = 0; i < 2; i++) { /* queries 5 and 6: a failure is asked for again */
        if (show_user(users, 9, false, &refused) != CKIT_E_FUNCTION) {
            return ckit_fail(err, CKIT_E_MISUSE, "users", "user 9 should not exist");
        }
        printf("user 9: %s\n", refused.text);
    }
    printf("%u queries\n", db->queries);
    return db->queries == 6 ? CKIT_OK : ckit_fail(err, CKIT_E_MISUSE, "users", "expected 6 queries");
}

int main(int argc, char **argv) {
    database              db = {.names = {"Alice", "Bob", NULL}};
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_cache           *cache = NULL;
    ckit_function        *users = NULL;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = "users";
    options.ttl_ms = 10 * 60 * 1000; /* ten minutes */

    ckit_status st = ckit_cache_open(argc > 1 ? argv[1] : "memory:", NULL, &cache, &err);
    if (st == CKIT_OK) {
        st = ckit_function_new(cache, "users.load_user", load_user, &db, &options, &users, &err);
    }
    if (st == CKIT_OK) {
        st = tour(users, &db, &err);
    }
    if (st != CKIT_OK) {
        fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
    }
    ckit_function_close(users);
    ckit_cache_close(cache);
    return st == CKIT_OK ? 0 : 1;
}
