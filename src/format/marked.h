/* format/marked.h - what the readers of dates and times share: in documents these are maps with a marker. */
#ifndef CKITI_FORMAT_MARKED_H
#define CKITI_FORMAT_MARKED_H

#include <cachekit/msgpack.h>

#define CKITI_MARKERS 3u

typedef struct ckiti_marker {
    const char *name;
    ckit_type   type;
} ckiti_marker;

/* In the order in which readers ask (document.c). */
extern const ckiti_marker ckiti_markers[CKITI_MARKERS];

/* A value before which a reader stands, to come back to. Entering containers overwrites only the unused part of the
 * reader's stack, so these are enough. */
typedef struct ckiti_place_read {
    const uint8_t *pos;
    uint32_t       depth;
    uint64_t       left;
} ckiti_place_read;

static inline ckiti_place_read ckiti_reader_place(const ckit_reader *r) {
    return (ckiti_place_read){r->pos, r->depth, r->left};
}

/* Also after a failure, which is forgotten. */
static inline void ckiti_reader_back(ckit_reader *r, ckiti_place_read place) {
    r->pos = place.pos;
    r->depth = place.depth;
    r->left = place.left;
    r->status = CKIT_OK;
    r->failed_at = 0;
    r->why = NULL;
    r->wanted = r->found = CKIT_TYPE_END;
}

#endif
