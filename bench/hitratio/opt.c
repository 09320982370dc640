#include "model.h"

#include <stdlib.h>

/* Evicts the entry whose next use is farthest away. A heap of (next use, key), farthest first; an entry of the heap is
 * out of date when the key has been used since, which `next_use` tells. */
typedef struct heap_entry {
    size_t   next_use;
    uint32_t key;
} heap_entry;

typedef struct opt {
    size_t     *after;    /* after[i] = the position of the next access to the key at position i */
    size_t     *next_use; /* by key */
    bool       *resident;
    heap_entry *heap;
    size_t      heap_count, count, capacity, position;
} opt;

static void *opt_open(const hitratio_trace *trace, size_t capacity) {
    opt *self = model_alloc(1, sizeof *self);
    self->after = model_alloc(trace->len, sizeof *self->after);
    self->next_use = model_alloc(trace->universe, sizeof *self->next_use);
    self->resident = model_alloc(trace->universe, sizeof *self->resident);
    self->heap = model_alloc(trace->len, sizeof *self->heap);
    self->capacity = capacity;
    for (uint32_t key = 0; key < trace->universe; key++) {
        self->next_use[key] = SIZE_MAX;
    }
    for (size_t i = trace->len; i-- > 0;) {
        self->after[i] = self->next_use[trace->keys[i]];
        self->next_use[trace->keys[i]] = i;
    }
    return self;
}

static void heap_push(opt *self, heap_entry entry) {
    size_t i = self->heap_count++;
    for (; i > 0 && self->heap[(i - 1) / 2].next_use < entry.next_use; i = (i - 1) / 2) {
        self->heap[i] = self->heap[(i - 1) / 2];
    }
    self->heap[i] = entry;
}

static heap_entry heap_pop(opt *self) {
    heap_entry top = self->heap[0];
    heap_entry last = self->heap[--self->heap_count];
    size_t     i = 0;
    for (size_t child; (child = 2 * i + 1) < self->heap_count; i = child) {
        if (child + 1 < self->heap_count && self->heap[child + 1].next_use > self->heap[child].next_use) {
            child++;
        }
        if (self->heap[child].next_use <= last.next_use) {
            break;
        }
        self->heap[i] = self->heap[child];
    }
    self->heap[i] = last;
    return top;
}

static void evict(opt *self) {
    for (;;) {
        heap_entry top = heap_pop(self);
        if (self->resident[top.key] && self->next_use[top.key] == top.next_use) {
            self->resident[top.key] = false;
            self->count--;
            return;
        }
    }
}

static bool opt_access(void *opaque, uint32_t key) {
    opt *self = opaque;
    bool was_there = self->resident[key];
    if (!was_there) {
        if (self->count == self->capacity) {
            evict(self);
        }
        self->resident[key] = true;
        self->count++;
    }
    self->next_use[key] = self->after[self->position++];
    heap_push(self, (heap_entry){self->next_use[key], key});
    return was_there;
}

static void opt_close(void *opaque) {
    opt *self = opaque;
    free(self->after);
    free(self->next_use);
    free(self->resident);
    free(self->heap);
    free(self);
}

const hitratio_model hitratio_opt = {"OPT", opt_open, opt_access, opt_close};
