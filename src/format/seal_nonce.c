#include "format/seal_nonce.h"

#include "base/random.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

struct ckiti_nonce_page {
    _Atomic uint32_t drawn; /* 0: the beginning is to be drawn */
    uint32_t         high;
    uint64_t         low;
    _Atomic uint64_t next;
};

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

ckit_status ckiti_nonces_init(ckiti_nonces *nonces, ckit_error *err) {
    void *page = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        nonces->page = NULL;
        return ckit_fail(err, CKIT_E_NO_MEMORY, "seal", "no memory for a page");
    }
#ifdef MADV_WIPEONFORK
    (void)madvise(page, page_bytes(), MADV_WIPEONFORK); /* Linux before 4.14 has only the hooks */
#endif
    nonces->page = page;
    pthread_mutex_init(&nonces->lock, NULL);
    return CKIT_OK;
}

void ckiti_nonces_fini(ckiti_nonces *nonces) {
    if (nonces->page != NULL) {
        (void)munmap(nonces->page, page_bytes());
        pthread_mutex_destroy(&nonces->lock);
        nonces->page = NULL;
    }
}

static void draw(ckiti_nonces *nonces) {
    ckiti_nonce_page *page = nonces->page;
    pthread_mutex_lock(&nonces->lock);
    if (atomic_load_explicit(&page->drawn, memory_order_relaxed) == 0) {
        do {
            ckiti_random_bytes(&page->high, sizeof page->high);
        } while (!ckiti_nonce_may_begin(page->high));
        page->low = ckiti_random_u64();
        atomic_store_explicit(&page->next, 0, memory_order_relaxed);
        atomic_store_explicit(&page->drawn, 1, memory_order_release);
    }
    pthread_mutex_unlock(&nonces->lock);
}

void ckiti_nonces_next(ckiti_nonces *nonces, uint8_t out[12]) {
    ckiti_nonce_page *page = nonces->page;
    if (atomic_load_explicit(&page->drawn, memory_order_acquire) == 0) {
        draw(nonces);
    }
    const uint64_t low = page->low + atomic_fetch_add_explicit(&page->next, 1, memory_order_relaxed);
    const uint32_t high = page->high + (low < page->low ? 1u : 0u);
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(high >> (24 - 8 * i));
    }
    for (int i = 0; i < 8; i++) {
        out[4 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
}

void ckiti_nonces_before_fork(ckiti_nonces *nonces) { pthread_mutex_lock(&nonces->lock); }

void ckiti_nonces_in_parent(ckiti_nonces *nonces) { pthread_mutex_unlock(&nonces->lock); }

void ckiti_nonces_in_child(ckiti_nonces *nonces) {
    atomic_store_explicit(&nonces->page->drawn, 0, memory_order_relaxed);
    pthread_mutex_unlock(&nonces->lock);
}
