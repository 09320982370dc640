/* format/args_pack.c - keywords, the packed form, and reading arguments back. */
#include "format/args.h"

#include "base/alloc.h"
#include "format/msgpack_code.h"

#include <cachekit/interop.h>

/* ---- keywords -------------------------------------------------------------------------------------------- */

static bool is_open(const ckit_args *args) {
    return (args->state & CKITI_ARGS_WAITING) != 0 || ((args->state & CKITI_ARGS_FRAMES) != 0 && args->depth > 0);
}

static uint32_t header_size(uint32_t keywords) { return keywords < 16 ? 1 : keywords <= UINT16_MAX ? 3 : 5; }

/* Begins the map of keywords, or widens its header when the count needs it. */
static bool make_header_room(ckit_args *args, uint32_t keywords) {
    if ((args->state & CKITI_ARGS_NAMED) == 0) {
        if (!ckiti_args_grow(args, 1)) {
            return false;
        }
        args->state |= CKITI_ARGS_NAMED;
        args->keywords = 0;
        args->keywords_at = args->len;
        args->keyword_header = 1;
        args->len += 1;
    }
    const uint32_t header = header_size(keywords);
    const uint32_t more = header - args->keyword_header;
    if (more > 0) {
        if (!ckiti_args_grow(args, more)) {
            return false;
        }
        uint8_t *entries = args->bytes + args->keywords_at + args->keyword_header;
        memmove(entries + more, entries, args->len - args->keywords_at - args->keyword_header);
        args->keyword_header = header;
        args->len += more;
    }
    return true;
}

static uint32_t keyword_count(const ckit_args *args) {
    return (args->state & CKITI_ARGS_NAMED) != 0 ? args->keywords : 0;
}

void ckit_args_keyword(ckit_args *args, ckit_slice name) {
    static const char bypass[] = "_bypass_cache";
    if ((args->state & CKITI_ARGS_FAILED) != 0) {
        return;
    }
    if (is_open(args) || (args->state & CKITI_ARGS_INTEROP) != 0) {
        ckiti_args_fail(args, CKIT_E_MISUSE,
                        is_open(args) ? "a keyword where a value was expected"
                                      : "a keyword, which arguments of interop mode do not have");
        return;
    }
    if (!ckiti_is_text(name.ptr, name.len)) {
        ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "a keyword that is not UTF-8");
    }
    const bool     drop = ckit_slice_equal(name, ckit_slice_of(bypass, sizeof bypass - 1));
    const uint32_t count = keyword_count(args) + (drop ? 0 : 1);
    if (name.len > CKIT_ARGS_MAX_BYTES) {
        ckiti_args_fail(args, CKIT_E_TOO_LARGE, "an argument of more than 2^30 bytes");
        return;
    }
    if (!make_header_room(args, count) || !ckiti_args_grow(args, CKITI_MSGPACK_HEAD + name.len)) {
        return;
    }
    args->keywords = count;
    args->keyword_at = args->len;
    args->state &= ~(uint32_t)CKITI_ARGS_SORTED;
    args->state |= CKITI_ARGS_WAITING | (drop ? CKITI_ARGS_DROP : 0);
    uint8_t     *p = args->bytes + args->len;
    const size_t head = ckiti_put_str_head(p, (uint32_t)name.len);
    ckiti_copy(p + head, name.ptr, name.len);
    args->len += head + name.len;
}

/* ---- arguments that the caller encodes ------------------------------------------------------------------- */

ckit_status ckit_args_more_room(ckit_args *args, size_t used, size_t need, uint8_t **start, size_t *room) {
    args->len += used;
    const bool grown = need <= CKIT_ARGS_MAX_BYTES && ckiti_args_grow(args, need);
    args->len -= used;
    if (!grown) {
        ckiti_args_fail(args, CKIT_E_TOO_LARGE, "arguments of more than 2^30 bytes");
        return args->status;
    }
    *start = ckit_args_room(args, room);
    return CKIT_OK;
}

void ckit_args_fill_keywords(ckit_args *args, uint32_t count, size_t len) {
    args->state |= CKITI_ARGS_NAMED | CKITI_ARGS_SORTED;
    args->keywords = count;
    args->keywords_at = args->len;
    args->keyword_header = header_size(count);
    args->len += len;
}

void ckit_args_tenant(ckit_args *args, ckit_slice tenant) {
    args->state |= CKITI_ARGS_TENANT;
    args->tenant = tenant;
}

/* ---- arguments of interop mode ----------------------------------------------------------------------------- */

/* A status of its own: nothing of the arguments is there, so the function cannot run without a key either. */
static void fail_whole(ckit_args *args, ckit_status status, const char *why) {
    if ((args->state & CKITI_ARGS_FAILED) == 0) {
        args->state |= CKITI_ARGS_FAILED;
        args->status = status;
        args->why = why;
    }
}

void ckit_args_interop(ckit_args *args, ckit_interop_args *from) {
    ckit_slice packed;
    if (args->state != 0 || args->count != 0) {
        fail_whole(args, CKIT_E_MISUSE, "arguments of interop mode behind others");
        return;
    }
    ckit_status st = ckit_interop_args_pack(from, &packed, NULL);
    if (st != CKIT_OK) {
        args->count = from->count;
        fail_whole(args, st, from->status != CKIT_OK ? from->why : "an array, a map or a set waits for values");
        return;
    }
    const size_t head = from->count < 16 ? 1 : from->count <= UINT16_MAX ? 3 : 5;
    if (ckiti_args_grow(args, packed.len - head)) {
        ckiti_copy(args->bytes + args->len, packed.ptr + head, packed.len - head);
        args->len += packed.len - head;
        args->count = from->count;
        args->state |= CKITI_ARGS_INTEROP;
    }
}

/* ---- packing --------------------------------------------------------------------------------------------- */

static size_t entries_at(const ckit_args *args) { return args->keywords_at + args->keyword_header; }

static ckit_status pack_keywords(ckit_args *args) {
    if ((args->state & CKITI_ARGS_SORTED) == 0) {
        ckiti_args_sort(args, entries_at(args), args->keywords);
        if ((args->state & (CKITI_ARGS_FAILED | CKITI_ARGS_UNKEYABLE)) != 0) {
            return args->status;
        }
        args->state |= CKITI_ARGS_SORTED;
    }
    (void)ckiti_put_map_head(args->bytes + args->keywords_at, args->keywords);
    return CKIT_OK;
}

static ckit_status pack_slow(ckit_args *args) {
    if ((args->state & CKITI_ARGS_FAILED) != 0) {
        return args->status;
    }
    if (is_open(args)) {
        /* Not remembered: the missing values may still come. */
        return CKIT_E_MISUSE;
    }
    if ((args->state & CKITI_ARGS_UNKEYABLE) != 0) {
        return args->status;
    }
    return (args->state & CKITI_ARGS_NAMED) != 0 ? pack_keywords(args) : CKIT_OK;
}

static const char *why_not(const ckit_args *args, ckit_status status) {
    return (args->state & (CKITI_ARGS_FAILED | CKITI_ARGS_UNKEYABLE)) != 0 && status == args->status
               ? args->why
               : "an array, a map or a keyword waits for values";
}

ckit_status ckit_args_pack(ckit_args *args, ckit_slice *packed, ckit_error *err) {
    size_t len = args->len;
    if (args->state != 0) {
        const ckit_status st = pack_slow(args);
        if (st != CKIT_OK) {
            *packed = (ckit_slice){NULL, 0};
            return ckit_fail(err, st, "arguments", "%s (behind %u positional arguments and %u keywords)",
                             why_not(args, st), args->count, keyword_count(args));
        }
    }
    if ((args->state & CKITI_ARGS_NAMED) == 0) {
        args->bytes[len++] = 0x80;
    }
    const size_t head = args->count < 16 ? 1 : args->count <= UINT16_MAX ? 3 : 5;
    uint8_t     *first = args->bytes + CKITI_ARGS_AT - head;
    (void)ckiti_put_array_head(first, args->count);
    *--first = 0x92;
    *packed = ckit_slice_of(first, (size_t)(args->bytes + len - first));
    return CKIT_OK;
}

ckit_status ckit_args_copy(ckit_args *copy, const ckit_args *args, const ckit_alloc *alloc) {
    ckit_args_init_alloc(copy, alloc);
    if ((args->state & CKITI_ARGS_FAILED) != 0) {
        return args->status;
    }
    if (is_open(args)) {
        return CKIT_E_MISUSE;
    }
    if (args->len >= CKIT_ARGS_INLINE) {
        uint8_t *bytes = ckiti_alloc(alloc, args->len + 1);
        if (bytes == NULL) {
            return CKIT_E_NO_MEMORY;
        }
        copy->bytes = bytes;
        copy->cap = args->len + 1;
    }
    memcpy(copy->bytes + CKITI_ARGS_AT, args->bytes + CKITI_ARGS_AT, args->len - CKITI_ARGS_AT);
    copy->len = args->len;
    copy->count = args->count;
    copy->state = args->state & ~(uint32_t)(CKITI_ARGS_FRAMES | CKITI_ARGS_TENANT);
    if ((args->state & CKITI_ARGS_NAMED) != 0) {
        copy->keywords = args->keywords;
        copy->keywords_at = args->keywords_at;
        copy->keyword_header = args->keyword_header;
    }
    if ((args->state & CKITI_ARGS_VECTORS) != 0) {
        copy->vector_bytes = args->vector_bytes;
    }
    if ((args->state & CKITI_ARGS_UNKEYABLE) != 0) {
        copy->status = args->status;
        copy->why = args->why;
    }
    return CKIT_OK;
}

/* ---- reading back ---------------------------------------------------------------------------------------- */

static bool readable(const ckit_args *args) { return (args->state & CKITI_ARGS_FAILED) == 0 && !is_open(args); }

static void read_from(const ckit_args *args, ckit_reader *r, const uint8_t *from, size_t len) {
    ckit_reader_init(r, ckit_slice_of(from, len));
    /* A function that runs uncached gets its texts as they were given. */
    r->any_text = (args->state & CKITI_ARGS_UNKEYABLE) != 0;
}

uint32_t ckit_args_positional(const ckit_args *args, ckit_reader *r) {
    if (!readable(args)) {
        ckit_reader_init(r, (ckit_slice){NULL, 0});
        return 0;
    }
    const size_t end = (args->state & CKITI_ARGS_NAMED) != 0 ? args->keywords_at : args->len;
    read_from(args, r, args->bytes + CKITI_ARGS_AT, end - CKITI_ARGS_AT);
    return args->count;
}

bool ckit_args_find_keyword(const ckit_args *args, ckit_slice name, ckit_reader *r) {
    ckit_reader_init(r, (ckit_slice){NULL, 0});
    if (!readable(args) || (args->state & CKITI_ARGS_NAMED) == 0) {
        return false;
    }
    const uint8_t *p = args->bytes + entries_at(args), *end = args->bytes + args->len;
    while (p < end) {
        const ckiti_head head = ckiti_head_at(p, end);
        const ckit_slice found = ckit_slice_of(p + head.size, (size_t)head.number);
        const uint8_t   *value = p + head.size + head.number;
        p = ckiti_value_end(value, end);
        if (ckit_slice_equal(found, name)) {
            read_from(args, r, value, (size_t)(p - value));
            return true;
        }
    }
    return false;
}
