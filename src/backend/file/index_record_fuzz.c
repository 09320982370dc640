/* Any bytes as an index: every record that is found lies inside, and reading ends. */
#include "index_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void inside(ckit_slice whole, ckit_slice part) {
    REQUIRE(part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ckit_slice         bytes = {data, size};
    ckiti_index_header header = {.salt = 1};
    (void)ckiti_index_header_parse(bytes, &header);
    ckiti_index_record record;
    size_t             at = 0, start = 0, before = 0;
    while (ckiti_index_record_next(bytes, header.salt, &at, &start, &record)) {
        REQUIRE(start >= before && at > start && at <= size);
        REQUIRE(ckiti_index_record_size(&record) == at - start);
        inside(bytes, record.key);
        inside(bytes, record.namespace_name);
        inside(bytes, record.function);
        before = at;
    }
    return 0;
}
