#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

void *ckiti_alloc(const ckit_alloc *alloc, size_t size) {
    if (size == 0) {
        size = 1;
    }
    return alloc == NULL ? malloc(size) : alloc->alloc(alloc->self, size);
}

void *ckiti_alloc_zeroed(const ckit_alloc *alloc, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    if (alloc == NULL) {
        return calloc(1, total == 0 ? 1 : total);
    }
    void *ptr = ckiti_alloc(alloc, total);
    if (ptr != NULL) {
        memset(ptr, 0, total);
    }
    return ptr;
}

void *ckiti_resize(const ckit_alloc *alloc, void *ptr, size_t old_size, size_t new_size) {
    if (ptr == NULL) {
        return ckiti_alloc(alloc, new_size);
    }
    if (new_size == 0) {
        new_size = 1;
    }
    if (alloc == NULL) {
        return realloc(ptr, new_size);
    }
    return alloc->resize(alloc->self, ptr, old_size == 0 ? 1 : old_size, new_size);
}

void ckiti_free(const ckit_alloc *alloc, void *ptr, size_t size) {
    if (ptr == NULL) {
        return;
    }
    if (alloc == NULL) {
        free(ptr);
    } else {
        alloc->release(alloc->self, ptr, size == 0 ? 1 : size);
    }
}

char *ckiti_strdup_slice(const ckit_alloc *alloc, ckit_slice bytes) {
    char *copy = ckiti_alloc(alloc, bytes.len + 1);
    if (copy != NULL) {
        if (bytes.len > 0) {
            memcpy(copy, bytes.ptr, bytes.len);
        }
        copy[bytes.len] = '\0';
    }
    return copy;
}
