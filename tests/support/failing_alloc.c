#include "support/failing_alloc.h"

#include "support/test.h"
#include <stdlib.h>

/* In front of every block, so that a wrong size or a second release is noticed. */
typedef struct block_header {
    size_t   size;
    uint64_t mark;
} block_header;

_Static_assert(sizeof(block_header) % _Alignof(max_align_t) == 0, "blocks behind the header stay aligned");

#define MARK_LIVE UINT64_C(0x6c6976656c697665)
#define MARK_DEAD UINT64_C(0x6465616464656164)

static bool refuse(failing_alloc *fa) {
    uint64_t number = atomic_fetch_add(&fa->requests, 1);
    uint64_t at = atomic_load(&fa->fail_at);
    if (number != at && !(number > at && atomic_load(&fa->fail_on))) return false;
    atomic_fetch_add(&fa->failed, 1);
    return true;
}

static void count(failing_alloc *fa, int64_t blocks, int64_t bytes) {
    atomic_fetch_add(&fa->live_blocks, blocks);
    int64_t now = atomic_fetch_add(&fa->live_bytes, bytes) + bytes;
    int64_t peak = atomic_load(&fa->peak_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&fa->peak_bytes, &peak, now)) {}
}

static block_header *header_of(void *ptr, size_t size) {
    block_header *header = (block_header *)ptr - 1;
    CHECKF(header->mark == MARK_LIVE, "block %p was not allocated here, or is released twice", ptr);
    CHECKF(header->size == size, "block %p of %zu bytes is given back as %zu", ptr, header->size, size);
    return header;
}

static void *fa_alloc(void *self, size_t size) {
    failing_alloc *fa = self;
    if (refuse(fa) || size > SIZE_MAX - sizeof(block_header)) return NULL;
    block_header *header = malloc(sizeof *header + size);
    if (header == NULL) return NULL;
    header->size = size;
    header->mark = MARK_LIVE;
    count(fa, 1, (int64_t)size);
    return header + 1;
}

static void fa_release(void *self, void *ptr, size_t size) {
    if (ptr == NULL) return;
    block_header *header = header_of(ptr, size);
    header->mark = MARK_DEAD;
    free(header);
    count(self, -1, -(int64_t)size);
}

/* Always moves, so that a pointer kept across a resize is found by the address sanitizer. */
static void *fa_resize(void *self, void *ptr, size_t old_size, size_t new_size) {
    if (ptr == NULL) return fa_alloc(self, new_size);
    (void)header_of(ptr, old_size);
    void *moved = fa_alloc(self, new_size);
    if (moved == NULL) return NULL;
    memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
    fa_release(self, ptr, old_size);
    return moved;
}

void failing_alloc_init(failing_alloc *fa, uint64_t fail_at) {
    fa->alloc = (ckit_alloc){fa_alloc, fa_resize, fa_release, fa};
    atomic_init(&fa->requests, 0);
    atomic_init(&fa->fail_at, fail_at);
    atomic_init(&fa->fail_on, false);
    atomic_init(&fa->failed, 0);
    atomic_init(&fa->live_blocks, 0);
    atomic_init(&fa->live_bytes, 0);
    atomic_init(&fa->peak_bytes, 0);
}

bool failing_alloc_has_failed(const failing_alloc *fa) { return atomic_load(&fa->failed) > 0; }

void failing_alloc_check_empty(const failing_alloc *fa) {
    int64_t blocks = atomic_load(&fa->live_blocks);
    int64_t bytes = atomic_load(&fa->live_bytes);
    CHECKF(blocks == 0 && bytes == 0, "%lld blocks of %lld bytes are still alive (request %lld was to fail)",
           (long long)blocks, (long long)bytes, (long long)atomic_load(&fa->fail_at));
}
