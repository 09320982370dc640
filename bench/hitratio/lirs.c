#include "lists.h"

/* Stack S orders keys by recency: LIR keys (99 % of the cache), and resident and remembered HIR keys above the oldest
 * LIR one. Queue Q holds the resident HIR keys (1 %). S remembers two caches full of names at most, the oldest go
 * first; R orders them. */
typedef enum status { STRANGER, LIR, HIR, GHOST } status;

typedef struct lirs {
    lists    s_links, q_links; /* Q and R share links: a key is resident or a ghost */
    list     s, q, r;
    uint8_t *status;
    size_t   lir_max, hir_max, ghosts_max, lir_count;
} lirs;

static void *lirs_open(const hitratio_trace *trace, size_t capacity) {
    lirs *self = model_alloc(1, sizeof *self);
    lists_init(&self->s_links, trace->universe);
    lists_init(&self->q_links, trace->universe);
    self->status = model_alloc(trace->universe, 1);
    self->s = list_make(1);
    self->q = list_make(1);
    self->r = list_make(2);
    self->hir_max = capacity / 100 > 0 ? capacity / 100 : 1;
    self->lir_max = capacity > self->hir_max ? capacity - self->hir_max : 0;
    self->ghosts_max = 2 * capacity;
    return self;
}

static void forget(lirs *self, uint32_t key) {
    list_remove(&self->q_links, &self->r, key);
    if (self->s_links.in[key] != 0) {
        list_remove(&self->s_links, &self->s, key);
    }
    self->status[key] = STRANGER;
}

/* The bottom of S is always LIR: others there can never become LIR. */
static void prune(lirs *self) {
    while (self->s.count > 0 && self->status[self->s.head] != LIR) {
        uint32_t key = self->s.head;
        if (self->status[key] == GHOST) {
            forget(self, key);
        } else {
            list_remove(&self->s_links, &self->s, key);
        }
    }
}

static void to_top(lirs *self, uint32_t key) {
    if (self->s_links.in[key] != 0) {
        list_remove(&self->s_links, &self->s, key);
    }
    list_push(&self->s_links, &self->s, key);
}

static void demote_oldest_lir(lirs *self) {
    uint32_t key = list_pop(&self->s_links, &self->s);
    self->status[key] = HIR;
    self->lir_count--;
    list_push(&self->q_links, &self->q, key);
    prune(self);
}

/* A key that came back while it was still in S takes the oldest LIR key's place. */
static void promote(lirs *self, uint32_t key) {
    to_top(self, key);
    self->status[key] = LIR;
    self->lir_count++;
    if (self->lir_count > self->lir_max) {
        demote_oldest_lir(self);
    }
}

static void make_room(lirs *self) {
    if (self->q.count < self->hir_max) {
        return;
    }
    uint32_t key = list_pop(&self->q_links, &self->q);
    if (self->s_links.in[key] == 0) {
        self->status[key] = STRANGER;
        return;
    }
    self->status[key] = GHOST;
    list_push(&self->q_links, &self->r, key);
    if (self->r.count > self->ghosts_max) {
        forget(self, self->r.head);
    }
}

static bool hit(lirs *self, uint32_t key) {
    if (self->status[key] == LIR) {
        to_top(self, key);
        prune(self);
    } else if (self->s_links.in[key] != 0 && self->lir_max > 0) {
        list_remove(&self->q_links, &self->q, key);
        promote(self, key);
    } else {
        list_renew(&self->q_links, &self->q, key);
        to_top(self, key);
        prune(self);
    }
    return true;
}

static bool lirs_access(void *opaque, uint32_t key) {
    lirs  *self = opaque;
    status was = (status)self->status[key];
    if (was == LIR || was == HIR) {
        return hit(self, key);
    }
    if (self->lir_count < self->lir_max && was == STRANGER) {
        promote(self, key);
        return false;
    }
    make_room(self);
    if (self->status[key] == GHOST && self->lir_max > 0) { /* make_room may have forgotten it */
        list_remove(&self->q_links, &self->r, key);
        promote(self, key);
        return false;
    }
    self->status[key] = HIR;
    to_top(self, key);
    list_push(&self->q_links, &self->q, key);
    prune(self);
    return false;
}

static void lirs_close(void *opaque) {
    lirs *self = opaque;
    lists_fini(&self->s_links);
    lists_fini(&self->q_links);
    free(self->status);
    free(self);
}

const hitratio_model hitratio_lirs = {"LIRS", lirs_open, lirs_access, lirs_close};
