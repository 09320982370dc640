#include "lists.h"

typedef struct fifo {
    lists  links;
    list   queue;
    size_t capacity;
} fifo;

static void *fifo_open(const hitratio_trace *trace, size_t capacity) {
    fifo *self = model_alloc(1, sizeof *self);
    lists_init(&self->links, trace->universe);
    self->queue = list_make(1);
    self->capacity = capacity;
    return self;
}

static bool fifo_access(void *opaque, uint32_t key) {
    fifo *self = opaque;
    if (self->links.in[key] != 0) {
        return true;
    }
    if (self->queue.count == self->capacity) {
        list_pop(&self->links, &self->queue);
    }
    list_push(&self->links, &self->queue, key);
    return false;
}

static void fifo_close(void *opaque) {
    fifo *self = opaque;
    lists_fini(&self->links);
    free(self);
}

const hitratio_model hitratio_fifo = {"FIFO", fifo_open, fifo_access, fifo_close};
