/* format/interop_sort.c - the order of maps and sets in interop mode: bytes, which for UTF-8 are code points. */
#include "format/interop_canonical.h"

#include "base/alloc.h"
#include "format/merge_sort.h"
#include "format/msgpack_code.h"

/* What is sorted, and what it is sorted by: the text of a pair's key, the whole encoding of an element. */
typedef struct sorting {
    const uint8_t *bytes;
    const uint8_t *end;
    bool           is_map;
} sorting;

static int compare(const void *context, ckiti_part a, ckiti_part b) {
    const sorting *s = context;
    ckit_slice     x = {s->bytes + a.at, a.len}, y = {s->bytes + b.at, b.len};
    if (s->is_map) {
        const ckiti_head p = ckiti_head_at(x.ptr, s->end), q = ckiti_head_at(y.ptr, s->end);
        x = ckit_slice_of(x.ptr + p.size, (size_t)p.number);
        y = ckit_slice_of(y.ptr + q.size, (size_t)q.number);
    }
    const int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);
    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static ckiti_part part_at(const sorting *s, const uint8_t *p) {
    const uint8_t *next = ckiti_value_end(p, s->end);
    next = s->is_map ? ckiti_value_end(next, s->end) : next;
    return (ckiti_part){(size_t)(p - s->bytes), (size_t)(next - p)};
}

/* Whether each comes behind the one before it, and differs. */
static bool is_ordered(const sorting *s, const ckit_interop_frame *frame) {
    ckiti_part before = part_at(s, s->bytes + frame->start);
    for (uint32_t i = 1; i < frame->count; i++) {
        const ckiti_part now = part_at(s, s->bytes + before.at + before.len);
        if (compare(s, before, now) >= 0) {
            return false;
        }
        before = now;
    }
    return true;
}

/* Copies the sorted entries to `scratch`, each once, and says how many those are. */
static uint32_t gather(const sorting *s, const ckiti_part *sorted, uint32_t count, uint8_t *scratch, size_t *len) {
    uint32_t kept = 0;
    *len = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || compare(s, sorted[i - 1], sorted[i]) != 0) {
            memcpy(scratch + *len, s->bytes + sorted[i].at, sorted[i].len);
            *len += sorted[i].len;
            kept++;
        }
    }
    return kept;
}

/* Puts the gathered entries back, behind a head for as many. */
static void put_back(ckit_buf *out, const ckit_interop_frame *frame, uint32_t kept, const uint8_t *scratch,
                     size_t len) {
    uint8_t head[CKITI_MSGPACK_HEAD];
    size_t  at = frame->start;
    if (kept < frame->count) {
        at -= ckiti_put_array_head(head, frame->count);
        at += ckiti_put_array_head(out->ptr + at, kept);
    }
    memcpy(out->ptr + at, scratch, len);
    out->len = at + len;
}

static void sort_in(ckit_interop_args *args, const sorting *s, const ckit_interop_frame *frame, ckiti_part *entries,
                    uint8_t *scratch) {
    const uint8_t *p = s->bytes + frame->start;
    for (uint32_t i = 0; i < frame->count; i++) {
        entries[i] = part_at(s, p);
        p += entries[i].len;
    }
    size_t            len;
    const ckiti_part *sorted = ckiti_merge_sort(entries, entries + frame->count, frame->count, compare, s);
    const uint32_t    kept = gather(s, sorted, frame->count, scratch, &len);
    if (s->is_map && kept < frame->count) {
        ckiti_interop_refuse(args, "two keys of a map are equal");
        return;
    }
    put_back(args->out, frame, kept, scratch, len);
}

void ckiti_interop_sort(ckit_interop_args *args, const ckit_interop_frame *frame) {
    const sorting s = {args->out->ptr, args->out->ptr + args->out->len, frame->kind == CKITI_INTEROP_MAP};
    if (frame->count < 2 || is_ordered(&s, frame)) {
        return;
    }
    ckiti_part   small_entries[2 * CKITI_SMALL_PARTS];
    uint8_t      small_bytes[CKITI_SMALL_BYTES];
    const size_t bytes = args->out->len - frame->start;
    if (frame->count <= CKITI_SMALL_PARTS && bytes <= CKITI_SMALL_BYTES) {
        sort_in(args, &s, frame, small_entries, small_bytes);
        return;
    }
    size_t   size;
    uint8_t *block = NULL;
    if (!__builtin_mul_overflow((size_t)frame->count, 2 * sizeof(ckiti_part), &size) &&
        !__builtin_add_overflow(size, bytes, &size)) {
        block = ckiti_alloc(args->out->alloc, size);
    }
    if (block == NULL) {
        ckiti_interop_fail(args, CKIT_E_NO_MEMORY, "no memory for sorting a map or set");
        return;
    }
    sort_in(args, &s, frame, (ckiti_part *)(void *)block, block + (size - bytes));
    ckiti_free(args->out->alloc, block, size);
}
