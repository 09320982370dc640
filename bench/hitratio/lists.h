/* lists.h - queues of keys, linked through arrays that are indexed by key. A key is in one queue at most. */
#ifndef HITRATIO_LISTS_H
#define HITRATIO_LISTS_H

#include "model.h"
#include <stdlib.h>

#define LISTS_NONE UINT32_MAX

/* The links of all queues of a model; `in` says which queue a key is in (0 = none). */
typedef struct lists {
    uint32_t *prev, *next;
    uint8_t  *in;
} lists;

typedef struct list {
    uint32_t head, tail; /* keys join at the tail; the head is the oldest */
    size_t   count;
    uint8_t  id; /* from 1 */
} list;

static inline void lists_init(lists *links, uint32_t universe) {
    links->prev = model_alloc(universe, sizeof *links->prev);
    links->next = model_alloc(universe, sizeof *links->next);
    links->in = model_alloc(universe, sizeof *links->in);
}

static inline void lists_fini(lists *links) {
    free(links->prev);
    free(links->next);
    free(links->in);
}

static inline list list_make(uint8_t id) { return (list){LISTS_NONE, LISTS_NONE, 0, id}; }

static inline void list_push(lists *links, list *queue, uint32_t key) {
    links->prev[key] = queue->tail;
    links->next[key] = LISTS_NONE;
    if (queue->tail == LISTS_NONE) {
        queue->head = key;
    } else {
        links->next[queue->tail] = key;
    }
    queue->tail = key;
    queue->count++;
    links->in[key] = queue->id;
}

static inline void list_remove(lists *links, list *queue, uint32_t key) {
    uint32_t prev = links->prev[key], next = links->next[key];
    if (prev == LISTS_NONE) {
        queue->head = next;
    } else {
        links->next[prev] = next;
    }
    if (next == LISTS_NONE) {
        queue->tail = prev;
    } else {
        links->prev[next] = prev;
    }
    queue->count--;
    links->in[key] = 0;
}

static inline uint32_t list_pop(lists *links, list *queue) {
    uint32_t key = queue->head;
    list_remove(links, queue, key);
    return key;
}

/* To the young end of the same queue. */
static inline void list_renew(lists *links, list *queue, uint32_t key) {
    list_remove(links, queue, key);
    list_push(links, queue, key);
}

#endif
