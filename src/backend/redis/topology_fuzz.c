/* What a hostile node says about its cluster: the bytes are replies; bulks and errors are redirections and
 * what a node says about itself, and every array is a map. */
#include "topology.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_endpoint(const ckiti_redis_endpoint *at) {
    size_t len = strnlen(at->host, sizeof at->host);
    if (at->local || at->port == 0 || len == sizeof at->host) {
        abort();
    }
}

static void check_redirection(ckit_slice text) {
    ckiti_redis_redirection to;
    ckiti_redis_turned      kind = ckiti_redis_redirection_read(text, &to);
    if (kind >= CKITI_REDIS_ASK) {
        check_endpoint(&to.to);
        if (to.slot >= CKITI_REDIS_SLOTS) {
            abort();
        }
    }
}

static void check_slots(void *context, uint16_t first, uint16_t last, bool moving) {
    (void)context;
    if (first > last || last >= CKITI_REDIS_SLOTS || (moving && first != last)) {
        abort();
    }
}

static void check_map(const ckiti_redis_map *map) {
    if (map->status != CKIT_OK) {
        return;
    }
    for (size_t s = 0; s < CKITI_REDIS_SLOTS; s++) {
        if (map->owner[s] > map->count) {
            abort();
        }
    }
    for (size_t i = 0; i < map->count; i++) {
        check_endpoint(&map->masters[i]);
        if (map->masters[i].host[0] == '\0') {
            abort();
        }
    }
    for (size_t i = 0; i < map->spare_count; i++) {
        check_endpoint(&map->spares[i]);
    }
}

static void take(ckiti_redis_map *map, const ckiti_resp_item *item) {
    if (item->depth == 0) {
        ckiti_redis_map_init(map, NULL, "asked.example");
    }
    if ((item->type == CKITI_RESP_ERROR || item->type == CKITI_RESP_BULK) && !item->streamed) {
        check_redirection(item->text);
        (void)ckiti_redis_own_slots_read(item->text, check_slots, NULL);
    }
    ckiti_redis_map_take(map, item);
    if (item->ends) {
        check_map(map);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static ckiti_redis_map map;
    ckiti_resp_reader      r;
    ckiti_resp_item        item;
    size_t                 at = 0;
    if (ckiti_resp_reader_init(&r, NULL) != CKIT_OK) {
        abort();
    }
    for (;;) {
        ckiti_resp_result result = ckiti_resp_next(&r, &item);
        if (result == CKITI_RESP_BAD) {
            break;
        } else if (result == CKITI_RESP_BODY) {
            ckiti_resp_into(&r, NULL);
        } else if (result == CKITI_RESP_ITEM) {
            take(&map, &item);
        } else if (at == size) {
            break;
        } else {
            struct iovec parts[2];
            (void)ckiti_resp_room(&r, parts);
            size_t n = size - at < parts[0].iov_len ? size - at : parts[0].iov_len;
            memcpy(parts[0].iov_base, data + at, n);
            ckiti_resp_fed(&r, n);
            at += n;
        }
    }
    ckiti_resp_reader_fini(&r);
    ckiti_redis_map_fini(&map);
    return 0;
}
