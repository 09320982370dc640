#include "format/invalidation.h"

#include "base/hash.h"

#include <cachekit/key.h>
#include <cachekit/msgpack.h>

static const char where[] = "invalidation";

static const char *const level_names[] = {"global", "namespace", "params"};

/* ---- what can be said -------------------------------------------------------------------------------------------- */

static bool is_namespace(ckit_slice name) {
    if (name.len < 1 || name.len > CKITI_INVALIDATION_MAX_NAMESPACE) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-')) {
            return false;
        }
    }
    return true;
}

static bool is_hash(ckit_slice hash) {
    if (hash.len != CKITI_INVALIDATION_HASH) {
        return false;
    }
    for (size_t i = 0; i < hash.len; i++) {
        uint8_t c = hash.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

/* Why it is not a message, or NULL. */
static const char *fault_of(const ckiti_invalidation *what) {
    bool has_namespace = what->namespace_name.len > 0;
    if ((what->hash.len > 0 || what->key.len > 0) && what->level != CKITI_INVALIDATE_PARAMS) {
        return "a call beside a level that is not params";
    }
    switch (what->level) {
    case CKITI_INVALIDATE_GLOBAL: return has_namespace ? "a namespace beside the level global" : NULL;
    case CKITI_INVALIDATE_NAMESPACE: return is_namespace(what->namespace_name) ? NULL : "no proper namespace";
    case CKITI_INVALIDATE_PARAMS:
        if (has_namespace && !is_namespace(what->namespace_name)) {
            return "no proper namespace";
        }
        if (what->key.len > CKITI_INVALIDATION_MAX_STRING) {
            return "a key that is too long";
        }
        return is_hash(what->hash) ? NULL : "no proper hash";
    default: return "a level that does not exist";
    }
}

ckiti_invalidation ckiti_invalidation_of_key(ckit_slice key, char digits[CKITI_INVALIDATION_HASH]) {
    ckit_key_parts parts = ckit_key_describe(key);
    if (key.len > CKITI_INVALIDATION_MAX_STRING || key.len == 0) {
        return (ckiti_invalidation){.level = CKITI_INVALIDATE_GLOBAL};
    }
    ckiti_invalidation what = {.level = CKITI_INVALIDATE_PARAMS, .key = key};
    if (parts.automatic && !parts.shortened) {
        what.hash = parts.hash;
        what.namespace_name = is_namespace(parts.namespace_name) ? parts.namespace_name : ckit_slice_of(NULL, 0);
    } else {
        uint8_t digest[CKITI_INVALIDATION_HASH / 2];
        ckiti_blake2b(digest, sizeof digest, key);
        ckiti_hex(digits, digest, sizeof digest);
        what.hash = ckit_slice_of(digits, CKITI_INVALIDATION_HASH);
    }
    return what;
}

ckiti_invalidation ckiti_invalidation_of_scope(const ckit_scope *scope) {
    if (scope->kind != CKIT_SCOPE_ALL && is_namespace(scope->namespace_name)) {
        return (ckiti_invalidation){.level = CKITI_INVALIDATE_NAMESPACE, .namespace_name = scope->namespace_name};
    }
    return (ckiti_invalidation){.level = CKITI_INVALIDATE_GLOBAL};
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static void write_field(ckit_writer *w, const char *name, ckit_slice value, bool bytes) {
    if (value.len > 0) {
        ckit_write_cstr(w, name);
        if (bytes) {
            ckit_write_bin(w, value);
        } else {
            ckit_write_str(w, value);
        }
    }
}

ckit_status ckiti_invalidation_write(const ckiti_invalidation *what, ckit_buf *out, ckit_error *err) {
    const char *fault = fault_of(what);
    if (fault != NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "%s", fault);
    }
    ckit_writer w;
    size_t      before = out->len;
    ckit_writer_init(&w, out);
    ckit_write_map(&w, 1u + (what->namespace_name.len > 0) + (what->hash.len > 0) + (what->key.len > 0));
    ckit_write_cstr(&w, "l");
    ckit_write_cstr(&w, level_names[what->level]);
    write_field(&w, "ns", what->namespace_name, false);
    write_field(&w, "ph", what->hash, false);
    write_field(&w, "k", what->key, true);
    ckit_status st = ckit_writer_finish(&w, err);
    if (st != CKIT_OK) {
        out->len = before;
    }
    return st;
}

static void too_many(ckit_reader *r) { ckit_reader_fail(r, CKIT_E_TOO_LARGE, "more than 100 entries"); }

static ckit_slice read_text(ckit_reader *r) {
    ckit_slice text = ckit_reader_peek(r) == CKIT_TYPE_BIN ? ckit_read_bin(r) : ckit_read_str(r);
    if (text.len > CKITI_INVALIDATION_MAX_STRING) {
        ckit_reader_fail(r, CKIT_E_TOO_LARGE, "a string of more than 1024 bytes");
    }
    return text;
}

/* A value of a field that nobody here knows, held to the limits all the same. At most 10 KiB in all, so the stack of
 * open containers is a small array. */
static void skip_value(ckit_reader *r) {
    uint32_t left[CKITI_INVALIDATION_MAX_DEPTH] = {1};
    unsigned depth = 1;
    while (depth > 0 && r->status == CKIT_OK) {
        if (left[depth - 1] == 0) {
            depth--;
            continue;
        }
        left[depth - 1]--;
        ckit_type type = ckit_reader_peek(r);
        if (type == CKIT_TYPE_ARRAY || type == CKIT_TYPE_MAP) {
            uint32_t count = type == CKIT_TYPE_ARRAY ? ckit_read_array(r) : ckit_read_map(r);
            if (count > CKITI_INVALIDATION_MAX_ENTRIES) {
                too_many(r);
            } else if (depth == CKITI_INVALIDATION_MAX_DEPTH) {
                ckit_reader_fail(r, CKIT_E_DEPTH, "containers too deep inside each other");
            } else {
                left[depth++] = type == CKIT_TYPE_MAP ? 2 * count : count;
            }
        } else if (type == CKIT_TYPE_STR || type == CKIT_TYPE_BIN) {
            (void)read_text(r);
        } else {
            ckit_read_skip(r);
        }
    }
}

enum { LEVEL = 1, NAMESPACE = 2, HASH = 4, KEY = 8, UNKNOWN = 0 };

static unsigned read_name(ckit_reader *r) {
    static const struct {
        const char *name;
        unsigned    field;
    } names[] = {{"l", LEVEL}, {"ns", NAMESPACE}, {"ph", HASH}, {"k", KEY}};
    if (ckit_reader_peek(r) != CKIT_TYPE_STR) {
        skip_value(r);
        return UNKNOWN;
    }
    ckit_slice name = read_text(r);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (ckit_slice_equal(name, ckit_slice_str(names[i].name))) {
            return names[i].field;
        }
    }
    return UNKNOWN;
}

static void read_level(ckit_reader *r, ckiti_invalidation *out) {
    ckit_slice name = ckit_read_str(r);
    for (unsigned i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (ckit_slice_equal(name, ckit_slice_str(level_names[i]))) {
            out->level = (ckiti_invalidation_level)i;
            return;
        }
    }
    ckit_reader_fail(r, CKIT_E_DECODE, "a level that does not exist");
}

/* A field that is nil counts as absent, an empty one does not. */
static void read_value(ckit_reader *r, unsigned field, ckiti_invalidation *out) {
    ckit_slice *to = field == NAMESPACE ? &out->namespace_name : field == HASH ? &out->hash : &out->key;
    if (field == LEVEL) {
        read_level(r, out);
    } else if (field == UNKNOWN) {
        skip_value(r);
    } else if (ckit_reader_peek(r) == CKIT_TYPE_NIL) {
        ckit_read_nil(r);
    } else if ((*to = field == KEY ? read_text(r) : ckit_read_str(r)).len == 0) {
        ckit_reader_fail(r, CKIT_E_DECODE, "an empty field");
    }
}

ckit_status ckiti_invalidation_read(ckit_slice message, ckiti_invalidation *out, ckit_error *err) {
    ckit_reader r;
    unsigned    seen = 0;
    *out = (ckiti_invalidation){.level = CKITI_INVALIDATE_GLOBAL};
    if (message.len > CKITI_INVALIDATION_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, where, "a message of %zu bytes, limit %u", message.len,
                         CKITI_INVALIDATION_MAX_BYTES);
    }
    ckit_reader_init(&r, message);
    r.max_depth = CKITI_INVALIDATION_MAX_DEPTH;
    uint32_t count = ckit_read_map(&r);
    if (count > CKITI_INVALIDATION_MAX_ENTRIES) {
        too_many(&r);
    }
    for (uint32_t i = 0; i < count && r.status == CKIT_OK; i++) {
        unsigned field = read_name(&r);
        if ((seen & field) != 0) {
            ckit_reader_fail(&r, CKIT_E_DECODE, "a field twice");
        }
        seen |= field;
        read_value(&r, field, out);
    }
    if (r.status == CKIT_OK && (seen & LEVEL) == 0) {
        ckit_reader_fail(&r, CKIT_E_DECODE, "no level");
    }
    ckit_status st = ckit_reader_finish(&r, err);
    const char *fault = st == CKIT_OK ? fault_of(out) : NULL;
    return fault != NULL ? ckit_fail(err, CKIT_E_DECODE, where, "%s", fault) : st;
}

void ckiti_invalidation_tell(const ckiti_invalidation *what, const ckit_watch_sink *sink) {
    if (what->level == CKITI_INVALIDATE_PARAMS && what->key.len > 0) {
        sink->changed(sink->self, what->key);
    } else if (what->level == CKITI_INVALIDATE_PARAMS) {
        sink->call_changed(sink->self, what->namespace_name, what->hash);
    } else {
        ckit_scope scope = {.kind = what->level == CKITI_INVALIDATE_NAMESPACE ? CKIT_SCOPE_NAMESPACE : CKIT_SCOPE_ALL,
                            .namespace_name = what->namespace_name};
        sink->scope_changed(sink->self, &scope);
    }
}
