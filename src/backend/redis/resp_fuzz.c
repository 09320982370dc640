/* Replies of a hostile server, fed in portions that the first byte chooses. What comes out must not depend on them. */
#include "resp.h"

#include "base/hash.h"

#include <stdlib.h>

#define BODY_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t mix(uint64_t sum, uint64_t value) { return (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15) + 1; }

/* A digest of everything that was told. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t portion, uint8_t *body) {
    ckiti_resp_reader r;
    uint64_t          sum = 0;
    size_t            at = 0;
    if (ckiti_resp_reader_init(&r, NULL) != CKIT_OK) {
        abort();
    }
    for (;;) {
        ckiti_resp_item   item;
        ckiti_resp_result result = ckiti_resp_next(&r, &item);
        if (result == CKITI_RESP_BAD) {
            sum = mix(sum, 0xbad);
            break;
        }
        if (result == CKITI_RESP_BODY) {
            ckiti_resp_into(&r, item.integer <= (int64_t)BODY_MAX ? body : NULL);
            continue;
        }
        if (result == CKITI_RESP_ITEM) {
            ckit_slice text = item.text;
            if (item.streamed) { /* whether it came in one piece depends on the portions */
                text = item.integer <= (int64_t)BODY_MAX ? ckit_slice_of(body, (size_t)item.integer)
                                                         : ckit_slice_of(NULL, 0);
            }
            if (item.depth > CKITI_RESP_MAX_DEPTH || (item.type == CKITI_RESP_BULK && item.integer < 0)) {
                abort();
            }
            sum =
                mix(sum, (uint64_t)item.type << 34 | (uint64_t)item.depth << 2 | (uint64_t)item.ends << 1 | item.push);
            sum = mix(sum, (uint64_t)item.integer);
            if (item.type != CKITI_RESP_BULK || item.integer <= (int64_t)BODY_MAX) {
                sum = mix(sum, text.len == 0 ? 0 : ckiti_xxh3(text, 0));
            }
            continue;
        }
        if (at == size) {
            break;
        }
        struct iovec parts[2];
        int          count = ckiti_resp_room(&r, parts);
        size_t       fed = 0;
        for (int i = 0; i < count; i++) {
            size_t n = size - at < portion - fed ? size - at : portion - fed;
            n = n < parts[i].iov_len ? n : parts[i].iov_len;
            if (n > 0) {
                memcpy(parts[i].iov_base, data + at, n);
            }
            at += n;
            fed += n;
        }
        if (fed == 0) {
            abort();
        }
        ckiti_resp_fed(&r, fed);
    }
    ckiti_resp_reader_fini(&r);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t body[BODY_MAX];
    if (size == 0) {
        return 0;
    }
    size_t portion = (size_t)data[0] + 1;
    if (read_all(data + 1, size - 1, portion, body) != read_all(data + 1, size - 1, SIZE_MAX, body)) {
        abort();
    }
    return 0;
}
