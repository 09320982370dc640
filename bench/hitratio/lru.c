#include "lists.h"

typedef struct lru {
    lists  links;
    list   queue;
    size_t capacity;
} lru;

static void *lru_open(const hitratio_trace *trace, size_t capacity) {
    lru *self = model_alloc(1, sizeof *self);
    lists_init(&self->links, trace->universe);
    self->queue = list_make(1);
    self->capacity = capacity;
    return self;
}

static bool lru_access(void *opaque, uint32_t key) {
    lru *self = opaque;
    if (self->links.in[key] != 0) {
        list_renew(&self->links, &self->queue, key);
        return true;
    }
    if (self->queue.count == self->capacity) {
        list_pop(&self->links, &self->queue);
    }
    list_push(&self->links, &self->queue, key);
    return false;
}

static void lru_close(void *opaque) {
    lru *self = opaque;
    lists_fini(&self->links);
    free(self);
}

const hitratio_model hitratio_lru = {"LRU", lru_open, lru_access, lru_close};
