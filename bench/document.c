#include "document.h"

#include "bench.h"

#include <cachekit/msgpack.h>
#include <stdio.h>
#include <stdlib.h>

static void write_record(ckit_writer *w, uint64_t *seed, uint32_t number) {
    static const char *const names[] = {"Alice", "Bob", "Christopher", "Dorothea", "Eve", "Frank", "Grace", "Heidi"};
    static const char *const groups[] = {"staff", "guests", "administration", "support"};
    uint64_t                 draw = bench_random(seed);
    const char              *name = names[draw % 8];
    char                     email[64];
    snprintf(email, sizeof email, "%c%u@example.com", "abcdefgh"[draw % 8], (unsigned)(draw >> 40) % 10000);
    ckit_write_map(w, 6);
    ckit_write_cstr(w, "user_id");
    ckit_write_uint(w, 1000000 + number);
    ckit_write_cstr(w, "name");
    ckit_write_cstr(w, name);
    ckit_write_cstr(w, "email");
    ckit_write_cstr(w, email);
    ckit_write_cstr(w, "active");
    ckit_write_bool(w, (draw >> 8 & 3) != 0);
    ckit_write_cstr(w, "group");
    ckit_write_cstr(w, groups[draw >> 10 & 3]);
    ckit_write_cstr(w, "balance");
    ckit_write_double(w, (double)(draw >> 20 & 0xfffff) / 100);
}

void bench_document(ckit_buf *document, size_t len, uint64_t seed) {
    ckit_writer    w;
    const uint32_t records = (uint32_t)(len / 64 + 1);
    ckit_writer_init(&w, document);
    ckit_write_array(&w, records);
    for (uint32_t i = 0; i < records; i++) {
        write_record(&w, &seed, i);
    }
    if (ckit_writer_finish(&w, NULL) != CKIT_OK || document->len < len) {
        fprintf(stderr, "ckit_bench: a document cannot be made\n");
        exit(2);
    }
    document->len = len;
}
