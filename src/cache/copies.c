#include "cache/copies.h"

#include "base/alloc.h"

#include <string.h>

typedef struct copy {
    uint64_t key; /* 0: free */
    uint64_t entry;
} copy;

typedef struct group {
    copy    *rows;
    uint32_t sets; /* 0, or a power of two */
    uint32_t used;
    uint32_t turn; /* whose it is to be given up */
} group;

struct ckiti_copies {
    ckiti_l1         *l1;
    const ckit_alloc *alloc;
    uint32_t          most_sets; /* of a group; a power of two */
    group             groups[CKITI_COPY_GROUPS];
};

static size_t bytes_of(uint32_t sets) { return (size_t)sets * CKITI_COPY_WAYS * sizeof(copy); }

ckiti_copies *ckiti_copies_new(ckiti_l1 *l1, uint64_t max_bytes, const ckit_alloc *alloc) {
    ckiti_copies *copies = ckiti_alloc_zeroed(alloc, 1, sizeof *copies);
    if (copies == NULL) {
        return NULL;
    }
    copies->l1 = l1;
    copies->alloc = alloc;
    copies->most_sets = 1;
    while (copies->most_sets < UINT32_C(1) << 24 &&
           bytes_of(2 * copies->most_sets) * CKITI_COPY_GROUPS <= max_bytes / 4) {
        copies->most_sets *= 2;
    }
    ckiti_l1_charge(l1, sizeof *copies);
    return copies;
}

static void free_rows(ckiti_copies *copies, copy *rows, uint32_t sets) {
    if (rows != NULL) {
        ckiti_free(copies->alloc, rows, bytes_of(sets));
        ckiti_l1_discharge(copies->l1, bytes_of(sets));
    }
}

void ckiti_copies_free(ckiti_copies *copies) {
    if (copies == NULL) {
        return;
    }
    for (unsigned i = 0; i < CKITI_COPY_GROUPS; i++) {
        free_rows(copies, copies->groups[i].rows, copies->groups[i].sets);
    }
    ckiti_l1_discharge(copies->l1, sizeof *copies);
    ckiti_free(copies->alloc, copies, sizeof *copies);
}

/* The places of the key. */
static copy *set_of(const group *g, uint64_t key) {
    return &g->rows[(size_t)((key / CKITI_COPY_GROUPS) & (g->sets - 1)) * CKITI_COPY_WAYS];
}

static bool is_alive(const ckiti_copies *copies, const copy *row) {
    return row->key != 0 && ckiti_l1_has_hash(copies->l1, row->entry);
}

/* The row that the copy may have: its own, a free one, or that of an entry which memory has evicted. NULL: the set is
 * full of living ones. */
static copy *find_row(const ckiti_copies *copies, const group *g, uint64_t key, uint64_t entry) {
    copy *set = set_of(g, key);
    copy *free_row = NULL;
    for (unsigned i = 0; i < CKITI_COPY_WAYS; i++) {
        if (set[i].key == key && set[i].entry == entry) {
            return &set[i];
        }
        if (set[i].key == 0) {
            free_row = &set[i];
        }
    }
    for (unsigned i = 0; i < CKITI_COPY_WAYS && free_row == NULL; i++) {
        if (!is_alive(copies, &set[i])) {
            free_row = &set[i];
        }
    }
    return free_row;
}

/* Twice the sets, without the rows of entries that memory has evicted. The rows of a set go to one of two, so all find
 * room. False when the group may not grow. */
static bool grow(ckiti_copies *copies, group *g) {
    uint32_t sets = g->sets == 0 ? 1 : 2 * g->sets;
    copy    *rows = sets <= copies->most_sets
                        ? ckiti_alloc_zeroed(copies->alloc, (size_t)sets * CKITI_COPY_WAYS, sizeof(copy))
                        : NULL;
    if (rows == NULL) {
        return false;
    }
    ckiti_l1_charge(copies->l1, bytes_of(sets));
    group grown = {.rows = rows, .sets = sets, .turn = g->turn};
    for (size_t i = 0; i < (size_t)g->sets * CKITI_COPY_WAYS; i++) {
        copy *to = is_alive(copies, &g->rows[i]) ? set_of(&grown, g->rows[i].key) : NULL;
        while (to != NULL && to->key != 0) {
            to++;
        }
        if (to != NULL) {
            *to = g->rows[i];
            grown.used++;
        }
    }
    free_rows(copies, g->rows, g->sets);
    *g = grown;
    return true;
}

bool ckiti_copies_add(ckiti_copies *copies, uint64_t key_hash, uint64_t entry_hash) {
    group *g = &copies->groups[ckiti_copy_group(key_hash)];
    if (g->sets == 0 && !grow(copies, g)) {
        return false;
    }
    copy *row = find_row(copies, g, key_hash, entry_hash);
    /* Below that load a set of so many is full once in a million, and a copy that is given up is a value lost. */
    while (row == NULL && g->used > g->sets * (CKITI_COPY_WAYS / 4) && grow(copies, g)) {
        row = find_row(copies, g, key_hash, entry_hash);
    }
    if (row == NULL) {
        row = &set_of(g, key_hash)[g->turn++ % CKITI_COPY_WAYS];
        (void)ckiti_l1_remove_hash(copies->l1, row->entry);
    }
    g->used += row->key == 0;
    *row = (copy){key_hash, entry_hash};
    return true;
}

size_t ckiti_copies_drop(ckiti_copies *copies, uint64_t key_hash) {
    group *g = &copies->groups[ckiti_copy_group(key_hash)];
    size_t dropped = 0;
    if (g->sets == 0) {
        return 0;
    }
    copy *set = set_of(g, key_hash);
    for (unsigned i = 0; i < CKITI_COPY_WAYS; i++) {
        if (set[i].key == key_hash) {
            dropped += ckiti_l1_remove_hash(copies->l1, set[i].entry);
            set[i] = (copy){0, 0};
            g->used--;
        }
    }
    return dropped;
}
