#include "lists.h"

/* An LRU window of 1 % before a segmented LRU (probation 20 %, protected 80 %). What leaves the window is admitted only
 * when the sketch has seen it more often than probation's oldest. The sketch: four rows of 4-bit counters, sixteen for
 * each entry of the cache (as in Caffeine), every access counted, all halved each time ten accesses an entry were
 * counted. */
typedef struct w_tinylfu {
    lists    links;
    list     window, probation, protected;
    uint8_t *counters[4];
    size_t   row_mask, counted, sample;
    size_t   capacity, window_max, protected_max;
} w_tinylfu;

static void *w_tinylfu_open(const hitratio_trace *trace, size_t capacity) {
    w_tinylfu *self = model_alloc(1, sizeof *self);
    size_t     row = 16;
    while (row < 4 * capacity) {
        row *= 2;
    }
    lists_init(&self->links, trace->universe);
    for (unsigned i = 0; i < 4; i++) {
        self->counters[i] = model_alloc(row, 1);
    }
    self->row_mask = row - 1;
    self->sample = 10 * capacity;
    self->window = list_make(1);
    self->probation = list_make(2);
    self->protected = list_make(3);
    self->capacity = capacity;
    self->window_max = capacity / 100 > 0 ? capacity / 100 : 1;
    self->protected_max = (capacity - self->window_max) * 8 / 10;
    return self;
}

static uint8_t *counter(const w_tinylfu *self, unsigned row, uint32_t key) {
    static const uint64_t seeds[4] = {UINT64_C(0xc3a5c85c97cb3127), UINT64_C(0xb492b66fbe98f273),
                                      UINT64_C(0x9ae16a3b2f90404f), UINT64_C(0xcbf29ce484222325)};
    uint64_t              mixed = ((uint64_t)key + seeds[row]) * seeds[row];
    mixed = (mixed ^ (mixed >> 32)) * seeds[row];
    return &self->counters[row][(mixed >> 32) & self->row_mask];
}

static unsigned seen(const w_tinylfu *self, uint32_t key) {
    unsigned least = 15;
    for (unsigned i = 0; i < 4; i++) {
        unsigned count = *counter(self, i, key);
        least = count < least ? count : least;
    }
    return least;
}

static void count(w_tinylfu *self, uint32_t key) {
    bool added = false;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t *c = counter(self, i, key);
        if (*c < 15) {
            ++*c;
            added = true;
        }
    }
    if (!added || ++self->counted < self->sample) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        for (size_t j = 0; j <= self->row_mask; j++) {
            self->counters[i][j] /= 2;
        }
    }
    self->counted /= 2;
}

static void hit(w_tinylfu *self, uint32_t key) {
    uint8_t where = self->links.in[key];
    if (where == self->window.id) {
        list_renew(&self->links, &self->window, key);
    } else if (where == self->protected.id) {
        list_renew(&self->links, &self->protected, key);
    } else {
        list_remove(&self->links, &self->probation, key);
        list_push(&self->links, &self->protected, key);
        if (self->protected.count > self->protected_max) {
            list_push(&self->links, &self->probation, list_pop(&self->links, &self->protected));
        }
    }
}

/* The window's oldest leaves it; when the cache is over capacity, it or main's victim goes. */
static void drain_window(w_tinylfu *self) {
    if (self->window.count <= self->window_max) {
        return;
    }
    uint32_t candidate = list_pop(&self->links, &self->window);
    if (self->window.count + self->probation.count + self->protected.count < self->capacity) {
        list_push(&self->links, &self->probation, candidate);
        return;
    }
    list *from = self->probation.count > 0 ? &self->probation : &self->protected;
    if (from->count > 0 && seen(self, candidate) > seen(self, from->head)) {
        list_pop(&self->links, from);
        list_push(&self->links, &self->probation, candidate);
    }
}

static bool w_tinylfu_access(void *opaque, uint32_t key) {
    w_tinylfu *self = opaque;
    count(self, key);
    if (self->links.in[key] != 0) {
        hit(self, key);
        return true;
    }
    list_push(&self->links, &self->window, key);
    drain_window(self);
    return false;
}

static void w_tinylfu_close(void *opaque) {
    w_tinylfu *self = opaque;
    lists_fini(&self->links);
    for (unsigned i = 0; i < 4; i++) {
        free(self->counters[i]);
    }
    free(self);
}

const hitratio_model hitratio_w_tinylfu = {"W-TinyLFU", w_tinylfu_open, w_tinylfu_access, w_tinylfu_close};
