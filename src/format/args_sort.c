/* format/args_sort.c - the order of a map's entries: that of Python, which compares keys only with their like.
 *
 * Text and bytes compare by their bytes (for UTF-8 that is the order of code points), numbers and booleans by value,
 * exactly, whatever their types. */
#include "format/args.h"

#include "base/alloc.h"
#include "format/merge_sort.h"
#include "format/msgpack_code.h"

/* ---- comparing ------------------------------------------------------------------------------------------- */

/* Kinds of keys that compare with each other. */
typedef enum kind { KIND_NONE, KIND_NUMBER, KIND_TEXT, KIND_BYTES } kind;

static kind kind_of(ckiti_head head) {
    switch (head.type) {
    case CKIT_TYPE_BOOL:
    case CKIT_TYPE_INT:
    case CKIT_TYPE_UINT: return KIND_NUMBER;
    case CKIT_TYPE_DOUBLE: {
        const double value = ckiti_head_double(head);
        return value <= 0 || value >= 0 ? KIND_NUMBER : KIND_NONE; /* NaN has no place in an order */
    }
    case CKIT_TYPE_STR: return KIND_TEXT;
    case CKIT_TYPE_BIN: return KIND_BYTES;
    default: return KIND_NONE; /* nil */
    }
}

static int compare_u64(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

static int compare_integers(ckiti_head a, ckiti_head b) {
    const bool a_below = a.type == CKIT_TYPE_INT;
    const bool b_below = b.type == CKIT_TYPE_INT;
    if (a_below != b_below) {
        return a_below ? -1 : 1;
    }
    return compare_u64(a.number, b.number); /* two's complement keeps the order below zero */
}

/* Exact, where converting the integer to a double would round it. */
static int compare_to_double(ckiti_head integer, double d) {
    if (d >= 18446744073709551616.0) {
        return -1;
    }
    if (d < -9223372036854775808.0) {
        return 1;
    }
    double     whole;
    ckiti_head part;
    if (d < 0) {
        const int64_t down = (int64_t)d;
        whole = (double)down;
        part = (ckiti_head){down < 0 ? CKIT_TYPE_INT : CKIT_TYPE_UINT, 0, (uint64_t)down};
    } else {
        const uint64_t down = (uint64_t)d;
        whole = (double)down;
        part = (ckiti_head){CKIT_TYPE_UINT, 0, down};
    }
    const int order = compare_integers(integer, part);
    return order != 0 ? order : (whole > d) - (whole < d);
}

static int compare_numbers(ckiti_head a, ckiti_head b) {
    const bool a_double = a.type == CKIT_TYPE_DOUBLE;
    const bool b_double = b.type == CKIT_TYPE_DOUBLE;
    if (a_double && b_double) {
        const double x = ckiti_head_double(a), y = ckiti_head_double(b);
        return (x > y) - (x < y);
    }
    if (a_double) {
        return -compare_to_double(b, ckiti_head_double(a));
    }
    return b_double ? compare_to_double(a, ckiti_head_double(b)) : compare_integers(a, b);
}

/* Two keys of one kind. */
static int compare_keys(const uint8_t *a, const uint8_t *b, const uint8_t *end) {
    const ckiti_head x = ckiti_head_at(a, end), y = ckiti_head_at(b, end);
    if (x.type != CKIT_TYPE_STR && x.type != CKIT_TYPE_BIN) {
        return compare_numbers(x, y);
    }
    const size_t shorter = x.number < y.number ? (size_t)x.number : (size_t)y.number;
    const int    order = memcmp(a + x.size, b + y.size, shorter);
    return order != 0 ? order : compare_u64(x.number, y.number);
}

/* ---- sorting --------------------------------------------------------------------------------------------- */

/* Walks the entries once: whether they can be compared, and whether they are in order already. */
static bool check_order(ckit_args *args, size_t start, uint32_t pairs, bool *ordered) {
    const uint8_t *p = args->bytes + start, *end = args->bytes + args->len, *before = p;
    const kind     first = kind_of(ckiti_head_at(p, end));
    *ordered = true;
    for (uint32_t i = 0; i < pairs; i++) {
        const kind now = kind_of(ckiti_head_at(p, end));
        if (now != first || now == KIND_NONE) {
            ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "the keys of a map cannot be compared with each other");
            return false;
        }
        if (*ordered && i > 0) {
            *ordered = compare_keys(before, p, end) < 0;
        }
        before = p;
        p = ckiti_value_end(ckiti_value_end(p, end), end);
    }
    return true;
}

static void list_entries(const ckit_args *args, size_t start, uint32_t pairs, ckiti_part *entries) {
    const uint8_t *p = args->bytes + start, *end = args->bytes + args->len;
    for (uint32_t i = 0; i < pairs; i++) {
        const uint8_t *next = ckiti_value_end(ckiti_value_end(p, end), end);
        entries[i] = (ckiti_part){(size_t)(p - args->bytes), (size_t)(next - p)};
        p = next;
    }
}

static int compare_entries(const void *context, ckiti_part a, ckiti_part b) {
    const ckit_args *args = context;
    return compare_keys(args->bytes + a.at, args->bytes + b.at, args->bytes + args->len);
}

/* Puts the entries in order; false when two have the same key. */
static bool rearrange(ckit_args *args, size_t start, const ckiti_part *sorted, uint32_t count, uint8_t *scratch) {
    const uint8_t *end = args->bytes + args->len;
    size_t         len = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *from = args->bytes + sorted[i].at;
        if (i > 0 && compare_keys(args->bytes + sorted[i - 1].at, from, end) == 0) {
            return false;
        }
        memcpy(scratch + len, from, sorted[i].len);
        len += sorted[i].len;
    }
    memcpy(args->bytes + start, scratch, len);
    return true;
}

void ckiti_args_sort(ckit_args *args, size_t start, uint32_t pairs) {
    bool ordered;
    if ((args->state & (CKITI_ARGS_FAILED | CKITI_ARGS_UNKEYABLE)) != 0 || pairs < 2 ||
        !check_order(args, start, pairs, &ordered) || ordered) {
        return;
    }
    ckiti_part   small_entries[2 * CKITI_SMALL_PARTS];
    uint8_t      small_bytes[CKITI_SMALL_BYTES];
    const size_t bytes = args->len - start;
    const size_t size = 2 * (size_t)pairs * sizeof(ckiti_part) + bytes;
    ckiti_part  *entries = small_entries;
    uint8_t     *scratch = small_bytes;
    uint8_t     *block = NULL;
    if (pairs > CKITI_SMALL_PARTS || bytes > CKITI_SMALL_BYTES) {
        block = ckiti_alloc(args->alloc, size);
        if (block == NULL) {
            ckiti_args_fail(args, CKIT_E_NO_MEMORY, "no memory for sorting the entries of a map");
            return;
        }
        entries = (ckiti_part *)(void *)block;
        scratch = block + (size - bytes);
    }
    list_entries(args, start, pairs, entries);
    const ckiti_part *sorted = ckiti_merge_sort(entries, entries + pairs, pairs, compare_entries, args);
    if (!rearrange(args, start, sorted, pairs, scratch)) {
        ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "two keywords or keys of a map are equal");
    }
    ckiti_free(args->alloc, block, size);
}
