#include "model.h"

#include <stdio.h>
#include <stdlib.h>

const hitratio_model *const hitratio_references[HITRATIO_REFERENCES] = {
    &hitratio_lru,  &hitratio_fifo,    &hitratio_two_q,    &hitratio_arc,
    &hitratio_lirs, &hitratio_s3_fifo, &hitratio_w_tinylfu};

size_t hitratio_hits(const hitratio_model *model, const hitratio_trace *trace, size_t capacity) {
    void  *self = model->open(trace, capacity);
    size_t hits = 0;
    for (size_t i = 0; i < trace->len; i++) {
        hits += model->access(self, trace->keys[i]);
    }
    model->close(self);
    return hits;
}

void *model_alloc(size_t count, size_t size) {
    void *block = calloc(count == 0 ? 1 : count, size);
    if (block == NULL) {
        fprintf(stderr, "hitratio: no memory for %zu times %zu bytes\n", count, size);
        exit(1);
    }
    return block;
}
