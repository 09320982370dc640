/* mallocs.so - to be preloaded: counts how often a program asks the C library for memory. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

/* What glibc calls its own. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

_Atomic uint64_t bench_mallocs_count;

void *malloc(size_t size) {
    bench_mallocs_count++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    bench_mallocs_count++;
    return __libc_calloc(count, size);
}

void *realloc(void *ptr, size_t size) {
    bench_mallocs_count++;
    return __libc_realloc(ptr, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    bench_mallocs_count++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    bench_mallocs_count++;
    *out = __libc_memalign(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}
