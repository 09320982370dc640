#include "lists.h"

/* T1 holds what was seen once, T2 what was seen again; B1 and B2 remember what left them. Hits in B1 move the aim of
 * T1's size up, hits in B2 down. Names as in figure 4 of the paper. */
typedef struct arc {
    lists  links;
    list   t1, t2, b1, b2;
    size_t capacity, aim;
} arc;

static void *arc_open(const hitratio_trace *trace, size_t capacity) {
    arc *self = model_alloc(1, sizeof *self);
    lists_init(&self->links, trace->universe);
    self->t1 = list_make(1);
    self->t2 = list_make(2);
    self->b1 = list_make(3);
    self->b2 = list_make(4);
    self->capacity = capacity;
    return self;
}

/* REPLACE of the paper: from T1 while it is above its aim, else from T2. */
static void replace(arc *self, bool in_b2) {
    size_t t1 = self->t1.count;
    if (t1 > 0 && (t1 > self->aim || (in_b2 && t1 == self->aim) || self->t2.count == 0)) {
        list_push(&self->links, &self->b1, list_pop(&self->links, &self->t1));
    } else {
        list_push(&self->links, &self->b2, list_pop(&self->links, &self->t2));
    }
}

static bool remembered(arc *self, list *ghosts, uint32_t key) {
    if (ghosts == &self->b1) {
        size_t step = self->b1.count >= self->b2.count ? 1 : self->b2.count / self->b1.count;
        self->aim = self->aim + step < self->capacity ? self->aim + step : self->capacity;
    } else {
        size_t step = self->b2.count >= self->b1.count ? 1 : self->b1.count / self->b2.count;
        self->aim = self->aim > step ? self->aim - step : 0;
    }
    replace(self, ghosts == &self->b2);
    list_remove(&self->links, ghosts, key);
    list_push(&self->links, &self->t2, key);
    return false;
}

static void make_room_for_a_stranger(arc *self) {
    size_t l1 = self->t1.count + self->b1.count;
    size_t all = l1 + self->t2.count + self->b2.count;
    if (l1 == self->capacity) {
        if (self->t1.count < self->capacity) {
            list_pop(&self->links, &self->b1);
            replace(self, false);
        } else {
            list_pop(&self->links, &self->t1);
        }
    } else if (all >= self->capacity) {
        if (all == 2 * self->capacity) {
            list_pop(&self->links, &self->b2);
        }
        replace(self, false);
    }
}

static bool arc_access(void *opaque, uint32_t key) {
    arc    *self = opaque;
    uint8_t where = self->links.in[key];
    if (where == self->t1.id || where == self->t2.id) {
        list_remove(&self->links, where == self->t1.id ? &self->t1 : &self->t2, key);
        list_push(&self->links, &self->t2, key);
        return true;
    }
    if (where == self->b1.id || where == self->b2.id) {
        return remembered(self, where == self->b1.id ? &self->b1 : &self->b2, key);
    }
    make_room_for_a_stranger(self);
    list_push(&self->links, &self->t1, key);
    return false;
}

static void arc_close(void *opaque) {
    arc *self = opaque;
    lists_fini(&self->links);
    free(self);
}

const hitratio_model hitratio_arc = {"ARC", arc_open, arc_access, arc_close};
