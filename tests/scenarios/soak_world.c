#include "soak_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static const char *const op_names[SOAK_OPS] = {"get",        "get_many", "set",  "delete", "call", "refresh",
                                               "invalidate", "scope",    "lock", "fence",  "open", "close"};

uint64_t soak_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void soak_nap(uint64_t us) {
    nanosleep(&(struct timespec){.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000}, NULL);
}

uint64_t soak_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 8;
}

const char *soak_op_name(soak_op op) { return op_names[op]; }

soak_world *soak_world_new(void) {
    pthread_mutexattr_t kind;
    soak_world         *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (w == MAP_FAILED) {
        return NULL;
    }
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    for (unsigned i = 0; i < SOAK_SLOTS; i++) {
        pthread_mutex_init(&w->slots[i].writing, &kind);
        atomic_init(&w->slots[i].version, 1);
    }
    pthread_mutexattr_destroy(&kind);
    return w;
}

void soak_world_free(soak_world *w) { munmap(w, sizeof *w); }

void soak_remark(soak_world *w, const char *format, ...) {
    uint32_t at = atomic_fetch_add(&w->remarks, 1);
    if (at < SOAK_REMARKS) {
        va_list args;
        va_start(args, format);
        vsnprintf(w->remark[at], SOAK_REMARK_SIZE, format, args);
        va_end(args);
    }
}

void soak_raise(_Atomic uint64_t *to, uint64_t value) {
    uint64_t now = atomic_load(to);
    while (now < value && !atomic_compare_exchange_weak(to, &now, value)) {}
}

void soak_give_up(soak_world *w, unsigned slot) {
    atomic_fetch_add(&w->slots[slot].generation, 1);
    atomic_fetch_add(&w->given_up, 1);
}

/* Its calls may have a write on the way. Entries that it was writing are found by their lock. */
void soak_bury(soak_world *w, unsigned worker) {
    for (unsigned i = 0; i < SOAK_THREADS; i++) {
        soak_place *place = &w->places[worker][i];
        uint32_t    slot = atomic_load(&place->slot);
        if (slot > SOAK_ENTRIES) {
            soak_give_up(w, slot - 1);
        }
        atomic_store(&place->slot, 0);
        atomic_store(&place->since_ms, 0);
    }
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

typedef struct head {
    uint64_t slot, generation, version, bytes, check;
} head;

static uint64_t check_of(const head *h, const uint8_t *filler) {
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    uint64_t words[4] = {h->slot, h->generation, h->version, h->bytes};
    for (size_t i = 0; i < 4; i++) {
        sum = (sum ^ words[i]) * UINT64_C(0x100000001b3);
    }
    for (size_t i = 0; i < h->bytes; i++) {
        sum = (sum ^ filler[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

void soak_write_value(ckit_buf *out, unsigned slot, uint32_t generation, uint64_t version, size_t bytes) {
    head     h = {.slot = slot, .generation = generation, .version = version, .bytes = bytes};
    uint64_t state = version * 977 + slot + 1;
    out->len = 0;
    if (ckit_buf_reserve(out, sizeof h + bytes) != CKIT_OK) {
        return;
    }
    for (size_t i = 0; i < bytes; i++) {
        out->ptr[sizeof h + i] = (uint8_t)soak_random(&state);
    }
    h.check = check_of(&h, out->ptr + sizeof h);
    memcpy(out->ptr, &h, sizeof h);
    out->len = sizeof h + bytes;
}

uint64_t soak_read_value(ckit_slice value, unsigned slot, uint32_t generation) {
    head h;
    if (value.len < sizeof h) {
        return 0;
    }
    memcpy(&h, value.ptr, sizeof h);
    bool right = h.slot == slot && h.generation == generation && h.bytes == value.len - sizeof h &&
                 h.check == check_of(&h, value.ptr + sizeof h);
    return right ? h.version : 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static void print_table(const soak_world *w, const char *headline, uint64_t hangs, uint64_t crashes, FILE *out) {
    fprintf(out, "%s\n  %-12s %10s %10s %12s\n", headline, "operation", "done", "failed", "slowest ms");
    for (int i = 0; i < SOAK_OPS; i++) {
        fprintf(out, "  %-12s %10llu %10llu %12llu\n", op_names[i], (unsigned long long)w->rows[i].done,
                (unsigned long long)w->rows[i].failed, (unsigned long long)w->rows[i].slowest_ms);
    }
    fprintf(out,
            "  answered by memory %llu, watches guarded %llu, lost %llu, keys given up %llu\n"
            "  reads checked after a received invalidation %llu, after an own write %llu\n"
            "  wrong values %llu, stale reads %llu, lock fences that went back %llu, hangs %llu, crashes %llu\n",
            (unsigned long long)w->from_memory, (unsigned long long)w->guarded, (unsigned long long)w->lost,
            (unsigned long long)w->given_up, (unsigned long long)w->told_checks, (unsigned long long)w->own_checks,
            (unsigned long long)w->wrong, (unsigned long long)w->stale, (unsigned long long)w->fences_back,
            (unsigned long long)hangs, (unsigned long long)crashes);
    for (uint32_t i = 0; i < w->remarks && i < SOAK_REMARKS; i++) {
        fprintf(out, "  ! %s\n", w->remark[i]);
    }
    fflush(out);
}

bool soak_report(const soak_world *w, const char *headline, uint64_t hangs, uint64_t crashes, const char *path) {
    FILE *file = path != NULL ? fopen(path, "ae") : NULL;
    print_table(w, headline, hangs, crashes, stdout);
    if (file != NULL) {
        print_table(w, headline, hangs, crashes, file);
        fclose(file);
    }
    return w->wrong == 0 && w->stale == 0 && w->fences_back == 0 && hangs == 0 && crashes == 0;
}
