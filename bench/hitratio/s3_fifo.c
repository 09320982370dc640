#include "lists.h"

/* A small FIFO of a tenth for newcomers, a main FIFO with second chances, and a FIFO of names. A key with more than one
 * hit, or one that is remembered, goes to main. Counters up to 3. */
typedef struct s3_fifo {
    lists    links;
    list     small, main, ghosts;
    uint8_t *hits;
    size_t   capacity, small_max, ghosts_max;
} s3_fifo;

static void *s3_fifo_open(const hitratio_trace *trace, size_t capacity) {
    s3_fifo *self = model_alloc(1, sizeof *self);
    lists_init(&self->links, trace->universe);
    self->hits = model_alloc(trace->universe, 1);
    self->small = list_make(1);
    self->main = list_make(2);
    self->ghosts = list_make(3);
    self->capacity = capacity;
    self->small_max = capacity / 10 > 0 ? capacity / 10 : 1;
    self->ghosts_max = capacity > self->small_max ? capacity - self->small_max : 1;
    return self;
}

static void evict_from_main(s3_fifo *self) {
    for (;;) {
        uint32_t key = list_pop(&self->links, &self->main);
        if (self->hits[key] == 0) {
            return;
        }
        self->hits[key]--;
        list_push(&self->links, &self->main, key);
    }
}

/* True when something left; keys that earned it move to main on the way. */
static bool evict_from_small(s3_fifo *self) {
    while (self->small.count > 0) {
        uint32_t key = list_pop(&self->links, &self->small);
        if (self->hits[key] <= 1) {
            list_push(&self->links, &self->ghosts, key);
            if (self->ghosts.count > self->ghosts_max) {
                list_pop(&self->links, &self->ghosts);
            }
            return true;
        }
        self->hits[key] = 0;
        list_push(&self->links, &self->main, key);
    }
    return false;
}

static void make_room(s3_fifo *self) {
    while (self->small.count + self->main.count >= self->capacity) {
        bool from_small = self->small.count >= self->small_max || self->main.count == 0;
        if (!from_small || !evict_from_small(self)) {
            evict_from_main(self);
        }
    }
}

static bool s3_fifo_access(void *opaque, uint32_t key) {
    s3_fifo *self = opaque;
    uint8_t  where = self->links.in[key];
    if (where == self->small.id || where == self->main.id) {
        self->hits[key] = (uint8_t)(self->hits[key] < 3 ? self->hits[key] + 1 : 3);
        return true;
    }
    if (where == self->ghosts.id) {
        list_remove(&self->links, &self->ghosts, key);
    }
    make_room(self);
    self->hits[key] = 0;
    list_push(&self->links, where == self->ghosts.id ? &self->main : &self->small, key);
    return false;
}

static void s3_fifo_close(void *opaque) {
    s3_fifo *self = opaque;
    lists_fini(&self->links);
    free(self->hits);
    free(self);
}

const hitratio_model hitratio_s3_fifo = {"S3-FIFO", s3_fifo_open, s3_fifo_access, s3_fifo_close};
