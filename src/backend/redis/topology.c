#include "topology.h"

#include "base/alloc.h"

#include <cachekit/buf.h>
#include <string.h>

/* ---- texts ------------------------------------------------------------------------------------------------------- */

bool ckiti_redis_host_read(ckiti_redis_endpoint *out, ckit_slice text) {
    if (text.len == 0 || text.len >= sizeof out->host) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') {
            return false;
        }
    }
    memcpy(out->host, text.ptr, text.len);
    out->host[text.len] = '\0';
    return true;
}

static bool read_number(ckit_slice text, uint32_t max, uint32_t *out) {
    uint32_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || (value = value * 10 + (uint32_t)(text.ptr[i] - '0')) > max) {
            return false;
        }
    }
    *out = value;
    return text.len > 0;
}

bool ckiti_redis_port_read(ckiti_redis_endpoint *out, ckit_slice text) {
    uint32_t port;
    if (!read_number(text, UINT16_MAX, &port) || port == 0) {
        return false;
    }
    out->port = (uint16_t)port;
    return true;
}

/* ---- redirections ------------------------------------------------------------------------------------------------ */

static bool begins(ckit_slice text, const char *with) {
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.ptr, with, len) == 0;
}

/* "3999 127.0.0.1:6381"; the last colon counts, IPv6 addresses have others. */
static bool read_target(ckit_slice text, ckiti_redis_redirection *out) {
    const uint8_t *blank = text.len == 0 ? NULL : memchr(text.ptr, ' ', text.len);
    uint32_t       slot;
    if (blank == NULL ||
        !read_number(ckit_slice_of(text.ptr, (size_t)(blank - text.ptr)), CKITI_REDIS_SLOTS - 1, &slot)) {
        return false;
    }
    size_t     skip = (size_t)(blank - text.ptr) + 1;
    ckit_slice rest = ckit_slice_of(text.ptr + skip, text.len - skip);
    size_t     colon = rest.len;
    while (colon > 0 && rest.ptr[colon - 1] != ':') {
        colon--;
    }
    *out = (ckiti_redis_redirection){.slot = (uint16_t)slot};
    return colon > 0 && ckiti_redis_port_read(&out->to, ckit_slice_of(rest.ptr + colon, rest.len - colon)) &&
           (colon == 1 || ckiti_redis_host_read(&out->to, ckit_slice_of(rest.ptr, colon - 1)));
}

ckiti_redis_turned ckiti_redis_redirection_read(ckit_slice text, ckiti_redis_redirection *out) {
    static const struct {
        const char        *begins;
        ckiti_redis_turned kind;
    } rows[] = {{"MOVED ", CKITI_REDIS_MOVED},
                {"ASK ", CKITI_REDIS_ASK},
                {"TRYAGAIN", CKITI_REDIS_LATER},
                /* a script met a key whose slot is moving */
                {"ERR Script attempted to access a non local key", CKITI_REDIS_LATER},
                {"CLUSTERDOWN", CKITI_REDIS_DOWN},
                {"READONLY", CKITI_REDIS_DOWN},
                {"MASTERDOWN", CKITI_REDIS_DOWN}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (begins(text, rows[i].begins)) {
            size_t skip = strlen(rows[i].begins);
            bool   whole =
                rows[i].kind < CKITI_REDIS_ASK || read_target(ckit_slice_of(text.ptr + skip, text.len - skip), out);
            return whole ? rows[i].kind : CKITI_REDIS_NOT_TURNED;
        }
    }
    return CKITI_REDIS_NOT_TURNED;
}

/* ---- the map ----------------------------------------------------------------------------------------------------- */

void ckiti_redis_map_init(ckiti_redis_map *map, const ckit_alloc *alloc, const char *asked) {
    ckiti_redis_endpoint *masters = map->masters;
    uint16_t              room = map->room;
    memset(map, 0, sizeof *map);
    map->masters = masters;
    map->room = room;
    map->alloc = alloc;
    map->asked = asked;
}

void ckiti_redis_map_fini(ckiti_redis_map *map) {
    ckiti_free(map->alloc, map->masters, map->room * sizeof *map->masters);
    map->masters = NULL;
    map->room = map->count = 0;
}

static void refuse(ckiti_redis_map *map, ckit_status status) {
    map->status = map->status == CKIT_OK ? status : map->status;
}

static bool same(const ckiti_redis_endpoint *a, const ckiti_redis_endpoint *b) {
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* The number of the master `node`, from 1; 0 when it has no place. */
static uint16_t number_of(ckiti_redis_map *map) {
    for (uint16_t i = 0; i < map->count; i++) {
        if (same(&map->masters[i], &map->node)) {
            return (uint16_t)(i + 1);
        }
    }
    if (map->count == CKITI_REDIS_MASTERS) {
        refuse(map, CKIT_E_IO);
        return 0;
    }
    if (map->count == map->room) {
        uint16_t room = (uint16_t)(map->room == 0 ? 16 : map->room * 2);
        void    *more =
            ckiti_resize(map->alloc, map->masters, map->room * sizeof *map->masters, room * sizeof *map->masters);
        if (more == NULL) {
            refuse(map, CKIT_E_NO_MEMORY);
            return 0;
        }
        map->masters = more;
        map->room = room;
    }
    map->masters[map->count++] = map->node;
    return map->count;
}

/* Name and port of a node are known. */
static void end_node(ckiti_redis_map *map) {
    if (map->node.host[0] == '\0') { /* a server that does not know a name of its own: those slots have no master yet */
        return;
    }
    if (map->field > 2) {
        bool known = map->spare_count == CKITI_REDIS_SPARES;
        for (uint16_t i = 0; i < map->spare_count; i++) {
            known = known || same(&map->spares[i], &map->node);
        }
        if (!known) {
            map->spares[map->spare_count++] = map->node;
        }
        return;
    }
    map->told += (uint32_t)(map->end - map->start) + 1;
    if (map->told > CKITI_REDIS_SLOTS) { /* some of them twice */
        refuse(map, CKIT_E_IO);
        return;
    }
    uint16_t number = number_of(map);
    for (int64_t slot = map->start; slot <= map->end && number != 0; slot++) {
        map->owner[slot] = number;
    }
}

static void take_range_field(ckiti_redis_map *map, const ckiti_resp_item *item) {
    if (map->field < 2) {
        bool first = map->field == 0;
        if (item->type != CKITI_RESP_INTEGER || item->integer < (first ? 0 : map->start) ||
            item->integer >= CKITI_REDIS_SLOTS) {
            refuse(map, CKIT_E_IO);
        } else if (first) {
            map->start = item->integer;
        } else {
            map->end = item->integer;
        }
    } else if (item->type != CKITI_RESP_ARRAY || item->integer < 2) {
        refuse(map, CKIT_E_IO);
    }
    map->part = 0;
    map->node = (ckiti_redis_endpoint){.port = 0};
    map->field++;
}

/* An empty name and none at all mean the node that answers; "?" is a name that it does not know. */
static void take_node_part(ckiti_redis_map *map, const ckiti_resp_item *item) {
    if (map->part == 0) {
        bool       text = item->type == CKITI_RESP_BULK && !item->streamed;
        bool       unknown = text && item->text.len == 1 && item->text.ptr[0] == '?';
        bool       own = item->type == CKITI_RESP_NIL || (text && item->text.len == 0);
        ckit_slice host = own ? ckit_slice_str(map->asked) : item->text;
        if ((!text && !own) || (!unknown && !ckiti_redis_host_read(&map->node, host))) {
            refuse(map, CKIT_E_IO);
        }
    } else if (map->part == 1) {
        if (item->type != CKITI_RESP_INTEGER || item->integer <= 0 || item->integer > UINT16_MAX) {
            refuse(map, CKIT_E_IO);
            return;
        }
        map->node.port = (uint16_t)item->integer;
        map->field--; /* it stands for the next one already */
        end_node(map);
        map->field++;
    }
    map->part++;
}

void ckiti_redis_map_take(ckiti_redis_map *map, const ckiti_resp_item *item) {
    if (map->status != CKIT_OK) {
        return;
    }
    switch (item->depth) {
    case 0:
        if (item->type != CKITI_RESP_ARRAY) {
            refuse(map, CKIT_E_IO);
        }
        return;
    case 1:
        if (item->type != CKITI_RESP_ARRAY || item->integer < 3) {
            refuse(map, CKIT_E_IO);
        }
        map->field = 0;
        map->start = map->end = 0;
        return;
    case 2: take_range_field(map, item); return;
    case 3: take_node_part(map, item); return;
    default: return; /* more about a node */
    }
}

/* ---- what a node says about itself ------------------------------------------------------------------------------- */

/* What is in front of the next `end`, which is left out of the rest. */
static ckit_slice cut(ckit_slice *rest, char end) {
    const uint8_t *at = rest->len > 0 ? memchr(rest->ptr, end, rest->len) : NULL;
    size_t         len = at != NULL ? (size_t)(at - rest->ptr) : rest->len;
    ckit_slice     part = ckit_slice_of(rest->ptr, len);
    *rest = at != NULL ? ckit_slice_of(at + 1, rest->len - len - 1) : ckit_slice_of(NULL, 0);
    return part;
}

/* The digits in front, which are left out of the rest; false when they are no slot. */
static bool cut_slot(ckit_slice *rest, uint16_t *slot) {
    uint32_t value = 0;
    size_t   len = 0;
    for (; len < rest->len && len < 6 && rest->ptr[len] >= '0' && rest->ptr[len] <= '9'; len++) {
        value = value * 10 + (uint32_t)(rest->ptr[len] - '0');
    }
    if (len == 0 || value >= CKITI_REDIS_SLOTS) {
        return false;
    }
    *slot = (uint16_t)value;
    *rest = ckit_slice_of(rest->ptr + len, rest->len - len);
    return true;
}

/* "93", "93-97", "[93->-ID]" or "[93-<-ID]". */
static void read_slots(ckit_slice word, ckiti_redis_slots_fn each, void *context) {
    uint16_t first, last;
    bool     moving = word.len > 0 && word.ptr[0] == '[';
    word = moving ? ckit_slice_of(word.ptr + 1, word.len - 1) : word;
    if (!cut_slot(&word, &first)) {
        return;
    }
    last = first;
    if (!moving && word.len > 0) {
        word = ckit_slice_of(word.ptr + 1, word.len - 1);
        if (!cut_slot(&word, &last) || last < first) {
            return;
        }
    }
    each(context, first, last, moving);
}

static bool is_own_line(ckit_slice flags) {
    while (flags.len > 0) {
        if (ckit_slice_equal(cut(&flags, ','), ckit_slice_str("myself"))) {
            return true;
        }
    }
    return false;
}

#define WORDS_BEFORE_SLOTS 8u

bool ckiti_redis_own_slots_read(ckit_slice text, ckiti_redis_slots_fn each, void *context) {
    while (text.len > 0) {
        ckit_slice line = cut(&text, '\n');
        bool       own = false;
        for (size_t i = 0; i < WORDS_BEFORE_SLOTS; i++) {
            ckit_slice word = cut(&line, ' ');
            own = own || (i == 2 && is_own_line(word));
        }
        while (own && line.len > 0) {
            read_slots(cut(&line, ' '), each, context);
        }
        if (own) {
            return true;
        }
    }
    return false;
}
