/* model.h - caches that are only simulated: which accesses of a trace would have been hits.
 *
 * Every entry counts the same; a capacity is a number of entries. A model belongs to one thread. Programs of the
 * benchmark give up when memory is short (model_alloc). */
#ifndef HITRATIO_MODEL_H
#define HITRATIO_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keys are numbers from 0 to universe - 1. */
typedef struct hitratio_trace {
    const uint32_t *keys;
    size_t          len;
    uint32_t        universe;
} hitratio_trace;

typedef struct hitratio_model {
    const char *name;
    /* `capacity` is at least 1. The trace is read ahead only by OPT, and only while the model is open. */
    void *(*open)(const hitratio_trace *trace, size_t capacity);
    /* The trace's keys in order: true when the key was there; it is afterwards. */
    bool (*access)(void *self, uint32_t key);
    void (*close)(void *self);
} hitratio_model;

extern const hitratio_model hitratio_fifo;      /* first in, first out */
extern const hitratio_model hitratio_lru;       /* least recently used */
extern const hitratio_model hitratio_two_q;     /* 2Q, full version: Johnson and Shasha, VLDB 1994 */
extern const hitratio_model hitratio_arc;       /* ARC: Megiddo and Modha, FAST 2003 */
extern const hitratio_model hitratio_lirs;      /* LIRS: Jiang and Zhang, SIGMETRICS 2002 */
extern const hitratio_model hitratio_s3_fifo;   /* S3-FIFO: Yang et al., SOSP 2023 */
extern const hitratio_model hitratio_w_tinylfu; /* W-TinyLFU: Einziger, Friedman and Manes, TOS 2017 */
extern const hitratio_model hitratio_opt;       /* Belady 1966: knows the future, the ceiling */
extern const hitratio_model hitratio_ckit;      /* ours: src/memory/policy.c, behind its own interface */

/* The models that ours is compared with. */
#define HITRATIO_REFERENCES 7
extern const hitratio_model *const hitratio_references[HITRATIO_REFERENCES];

/* Hits of a whole trace, from an empty cache on. */
size_t hitratio_hits(const hitratio_model *model, const hitratio_trace *trace, size_t capacity);

/* Zeroed memory, or the end of the program. */
void *model_alloc(size_t count, size_t size);

#endif
