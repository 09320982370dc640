#include "lists.h"

/* Newcomers wait in a FIFO of a quarter of the cache (A1in); what leaves it is remembered, half a cache full of names
 * (A1out); who is asked for again while remembered enters the LRU of the rest (Am). */
typedef struct two_q {
    lists  links;
    list   in, out, am;
    size_t capacity, in_max, out_max;
} two_q;

static void *two_q_open(const hitratio_trace *trace, size_t capacity) {
    two_q *self = model_alloc(1, sizeof *self);
    lists_init(&self->links, trace->universe);
    self->in = list_make(1);
    self->out = list_make(2);
    self->am = list_make(3);
    self->capacity = capacity;
    self->in_max = capacity / 4 > 0 ? capacity / 4 : 1;
    self->out_max = capacity / 2 > 0 ? capacity / 2 : 1;
    return self;
}

static void make_room(two_q *self) {
    if (self->in.count + self->am.count < self->capacity) {
        return;
    }
    if (self->in.count > self->in_max || self->am.count == 0) {
        list_push(&self->links, &self->out, list_pop(&self->links, &self->in));
        if (self->out.count > self->out_max) {
            list_pop(&self->links, &self->out);
        }
    } else {
        list_pop(&self->links, &self->am);
    }
}

static bool two_q_access(void *opaque, uint32_t key) {
    two_q  *self = opaque;
    uint8_t where = self->links.in[key];
    if (where == self->am.id) {
        list_renew(&self->links, &self->am, key);
        return true;
    }
    if (where == self->in.id) {
        return true;
    }
    if (where == self->out.id) {
        list_remove(&self->links, &self->out, key);
        make_room(self);
        list_push(&self->links, &self->am, key);
        return false;
    }
    make_room(self);
    list_push(&self->links, &self->in, key);
    return false;
}

static void two_q_close(void *opaque) {
    two_q *self = opaque;
    lists_fini(&self->links);
    free(self);
}

const hitratio_model hitratio_two_q = {"2Q", two_q_open, two_q_access, two_q_close};
