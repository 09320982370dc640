#include "support/listing.h"

#include "support/output.h"

#include <cachekit/buf.h>
#include <cachekit/key.h>
#include <stdlib.h>
#include <string.h>

/* The exit code of a call of the store; what an interrupt left undone is no failure of the store. */
static int code_of(ckit_status st, ckit_error *err) {
    if (st == CKIT_OK) {
        return CLI_DONE;
    }
    if (cli_interrupted() != 0) {
        return 128 + cli_interrupted();
    }
    return cli_call_failed(st, err);
}

/* ---- which ones ---------------------------------------------------------------------------------------------- */

int cli_select(cli_selection *selection, const char *namespace_name, const char *function) {
    ckit_error err = CKIT_ERROR_INIT;
    *selection = (cli_selection){.scope = {.kind = CKIT_SCOPE_ALL}};
    if (namespace_name != NULL) {
        selection->scope.kind = CKIT_SCOPE_NAMESPACE;
        selection->scope.namespace_name = ckit_slice_str(namespace_name);
    }
    /* An empty name is what a script's unset variable gives: nobody means "the entries without a namespace" by it. */
    if ((namespace_name != NULL && *namespace_name == '\0') || (function != NULL && *function == '\0')) {
        cli_error("--%s is empty: it must name one", function != NULL && *function == '\0' ? "function" : "namespace");
        return CLI_USAGE;
    }
    if (function == NULL) {
        return CLI_DONE;
    }
    ckit_status st = ckit_key_function(ckit_slice_str(function), &selection->function, &err);
    if (st != CKIT_OK) {
        return cli_call_failed(st, &err);
    }
    selection->scope.kind = CKIT_SCOPE_FUNCTION;
    selection->scope.function = ckit_buf_slice(&selection->function);
    return CLI_DONE;
}

void cli_selection_fini(cli_selection *selection) { ckit_buf_fini(&selection->function); }

static bool is_selected(const ckit_scope *scope, const ckit_listed *entry) {
    return scope->kind == CKIT_SCOPE_ALL ||
           (ckit_slice_equal(scope->namespace_name, entry->namespace_name) &&
            (scope->kind == CKIT_SCOPE_NAMESPACE || ckit_slice_equal(scope->function, entry->function)));
}

int cli_select_in(cli_store *store, cli_selection *selection, const cli_common *common, const char *namespace_name,
                  const char *function) {
    *store = (cli_store){.backend = NULL};
    int code = cli_select(selection, namespace_name, function);
    return code == CLI_DONE ? cli_store_open(store, common) : code;
}

void cli_leave(cli_store *store, cli_selection *selection) {
    cli_store_close(store);
    cli_selection_fini(selection);
}

/* ---- one after the other ------------------------------------------------------------------------------------- */

typedef struct walk {
    const cli_store     *store;
    const cli_selection *selection;
    cli_each_fn          each;
    void                *context;
    uint64_t             hidden;
    uint64_t             since_ms; /* what is shown next was looked at after this */
    bool                 ended;
} walk;

static uint64_t end_of_life(uint64_t life_ms, uint64_t now_ms) {
    return life_ms == CKIT_LIFE_NO_EXPIRY || life_ms == CKIT_LIFE_UNKNOWN ? life_ms : now_ms + life_ms;
}

static ckit_status visit(void *context, const ckit_listed *entry) {
    walk      *w = context;
    uint64_t   now_ms = cli_now_ms();
    cli_listed listed = {.entry = *entry,
                         .key = entry->key,
                         .ends_from_ms = end_of_life(entry->life_ms, w->since_ms),
                         .ends_to_ms = end_of_life(entry->life_ms, now_ms)};
    bool       known = entry->key.len > 0;
    w->since_ms = now_ms;
    if (cli_interrupted() != 0) {
        return CKIT_E_CANCELLED;
    }
    if (!cli_store_own_key(w->store, &listed.key)) {
        w->hidden += known ? 0 : 1;
        return CKIT_OK;
    }
    if (is_selected(&w->selection->scope, entry) && !w->each(w->context, &listed)) {
        w->ended = true;
        return CKIT_E_CANCELLED;
    }
    return CKIT_OK;
}

int cli_each(const cli_store *store, const cli_selection *selection, cli_each_fn each, void *context,
             uint64_t *hidden) {
    if (store->ops->list == NULL) {
        return cli_store_cannot(store, "list its entries");
    }
    /* With a tenant everything is looked at: entries without a known key are in no scope but the whole. */
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    walk       w = {.store = store, .selection = selection, .each = each, .context = context, .since_ms = cli_now_ms()};
    ckit_error err = CKIT_ERROR_INIT;
    ckit_status st = store->ops->list(store->self, store->prefix.len > 0 ? &all : &selection->scope, CKIT_NO_DEADLINE,
                                      visit, &w, &err);
    if (hidden != NULL) {
        *hidden = w.hidden;
    }
    return w.ended ? CLI_FAILED : code_of(st, &err);
}

/* ---- entries of a function in namespaces ---------------------------------------------------------------------- */

typedef struct elsewhere {
    ckit_slice function;
    uint64_t   count;
    ckit_buf   name; /* of the first one's namespace */
    bool       several;
} elsewhere;

static bool count_elsewhere(void *context, const cli_listed *listed) {
    elsewhere *e = context;
    if (!ckit_slice_equal(e->function, listed->entry.function)) {
        return true;
    }
    if (e->count++ == 0) {
        return ckit_buf_append(&e->name, listed->entry.namespace_name) == CKIT_OK;
    }
    e->several = e->several || !ckit_slice_equal(ckit_buf_slice(&e->name), listed->entry.namespace_name);
    return true;
}

void cli_hint_at_namespaces(const cli_store *store, const cli_selection *selection, const char *what) {
    const ckit_scope *scope = &selection->scope;
    cli_selection     everything = {.scope = {.kind = CKIT_SCOPE_ALL}};
    elsewhere         e = {.function = scope->function, .name = CKIT_BUF_INIT};
    char              text[CLI_COUNT_TEXT];
    if (scope->kind == CKIT_SCOPE_FUNCTION && scope->namespace_name.len == 0 && store->ops->list != NULL &&
        cli_each(store, &everything, count_elsewhere, &e, NULL) == CLI_DONE && e.count > 0) {
        cli_warn("%s of this function belong%s to %s%s: name it with --namespace %.*s", cli_entries_text(e.count, text),
                 e.count == 1 ? "s" : "", e.several ? "namespaces" : "a namespace", what,
                 e.several ? 4 : (int)(e.name.len < 80 ? e.name.len : 80),
                 e.several ? "NAME" : (const char *)e.name.ptr);
    }
    ckit_buf_fini(&e.name);
}

/* ---- all at once --------------------------------------------------------------------------------------------- */

typedef struct kept {
    cli_listed listed;
    uint8_t    text[]; /* what the slices of `listed` look at */
} kept;

static ckit_slice keep_text(uint8_t **at, ckit_slice text) {
    ckit_slice copy = ckit_slice_of(*at, text.len);
    if (text.len > 0) {
        memcpy(*at, text.ptr, text.len);
    }
    *at += text.len;
    return copy;
}

static cli_listed *keep(const cli_listed *listed) {
    const ckit_listed *entry = &listed->entry;
    kept *k = malloc(sizeof *k + entry->key.len + entry->name.len + entry->namespace_name.len + entry->function.len);
    if (k == NULL) {
        return NULL;
    }
    uint8_t *at = k->text;
    k->listed = *listed;
    k->listed.entry.key = keep_text(&at, entry->key);
    k->listed.entry.name = keep_text(&at, entry->name);
    k->listed.entry.namespace_name = keep_text(&at, entry->namespace_name);
    k->listed.entry.function = keep_text(&at, entry->function);
    k->listed.key = ckit_slice_of(k->text + (entry->key.len - listed->key.len), listed->key.len);
    return &k->listed;
}

static bool collect(void *context, const cli_listed *listed) {
    cli_entries *entries = context;
    if (entries->count == entries->capacity) {
        size_t       capacity = entries->capacity == 0 ? 256 : entries->capacity * 2;
        cli_listed **grown = realloc(entries->items, capacity * sizeof(cli_listed *));
        if (grown == NULL) {
            entries->no_memory = true;
            return false;
        }
        entries->items = grown;
        entries->capacity = capacity;
    }
    cli_listed *copy = keep(listed);
    if (copy == NULL) {
        entries->no_memory = true;
        return false;
    }
    entries->items[entries->count++] = copy;
    entries->bytes += listed->entry.size;
    cli_progress("%zu entries", entries->count);
    return true;
}

int cli_collect(const cli_store *store, const cli_selection *selection, cli_entries *out, uint64_t *hidden) {
    *out = (cli_entries){.items = NULL};
    int code = cli_each(store, selection, collect, out, hidden);
    cli_progress_end();
    return out->no_memory ? cli_no_memory() : code;
}

void cli_entries_fini(cli_entries *entries) {
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->items[i]); /* the first member of what was allocated */
    }
    free(entries->items);
    *entries = (cli_entries){.items = NULL};
}

static int compare_bytes(ckit_slice a, ckit_slice b) {
    size_t common = a.len < b.len ? a.len : b.len;
    int    difference = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);
    return difference != 0 ? difference : (a.len > b.len) - (a.len < b.len);
}

static const cli_listed *item(const void *at) { return *(cli_listed *const *)at; }

static int by_name(const void *left, const void *right) {
    const cli_listed *a = item(left);
    const cli_listed *b = item(right);
    if ((a->key.len == 0) != (b->key.len == 0)) {
        return a->key.len == 0 ? 1 : -1;
    }
    return a->key.len > 0 ? compare_bytes(a->key, b->key) : compare_bytes(a->entry.name, b->entry.name);
}

static int by_number(uint64_t a, uint64_t b, const void *left, const void *right) {
    return a != b ? (a > b) - (a < b) : by_name(left, right);
}

static int by_size(const void *left, const void *right) {
    return by_number(~item(left)->entry.size, ~item(right)->entry.size, left, right);
}

static uint64_t birth(const cli_listed *listed) {
    int64_t created_ms = listed->entry.created_wall_ms;
    return created_ms > 0 ? (uint64_t)created_ms : UINT64_MAX;
}

static int by_age(const void *left, const void *right) {
    return by_number(birth(item(left)), birth(item(right)), left, right);
}

static int by_life(const void *left, const void *right) {
    return by_number(item(left)->ends_to_ms, item(right)->ends_to_ms, left, right);
}

void cli_sort(cli_entries *entries, cli_order order, bool reverse) {
    static int (*const compare[])(const void *, const void *) = {
        [CLI_BY_NAME] = by_name, [CLI_BY_SIZE] = by_size, [CLI_BY_AGE] = by_age, [CLI_BY_LIFE] = by_life};
    if (entries->count == 0) {
        return;
    }
    qsort(entries->items, entries->count, sizeof *entries->items, compare[order]);
    for (size_t i = 0, j = entries->count - 1; reverse && i < j; i++, j--) {
        cli_listed *held = entries->items[i];
        entries->items[i] = entries->items[j];
        entries->items[j] = held;
    }
}

/* ---- work of the store that takes long ----------------------------------------------------------------------- */

bool cli_is_store_down(ckit_status st) {
    switch (ckit_status_kind(st)) {
    case CKIT_KIND_TRANSIENT:
    case CKIT_KIND_TIMEOUT:
    case CKIT_KIND_AUTHENTICATION: return true;
    default: return false;
    }
}

#define FIRST_PART_MS 500u
#define LONGEST_PART_MS 8000u

int cli_in_parts(const cli_store *store, cli_part_fn part, const void *context, const char *doing,
                 ckit_deleted *total) {
    *total = (ckit_deleted){0, 0};
    uint64_t part_ms = FIRST_PART_MS;
    for (;;) {
        ckit_deleted did = {0, 0};
        ckit_error   err = CKIT_ERROR_INIT;
        uint64_t     deadline_ms = cli_deadline_in(part_ms);
        ckit_status  st = part(store, context, deadline_ms, &did, &err);
        total->deleted += did.deleted;
        total->unindexed = did.unindexed; /* what is left is looked at again in every part */
        bool ended_by_us = ckit_status_kind(st) == CKIT_KIND_TIMEOUT && cli_now_ms() >= deadline_ms;
        if (!ended_by_us || cli_interrupted() != 0) {
            cli_progress_end();
            return code_of(st, &err);
        }
        cli_progress("%s: %llu so far", doing, (unsigned long long)total->deleted);
        if (part_ms < LONGEST_PART_MS || did.deleted == 0) {
            part_ms *= 2; /* every part begins anew, so one that comes to nothing must not stay so short */
        }
    }
}
