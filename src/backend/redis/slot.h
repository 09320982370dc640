/* slot.h - the slots of a cluster (Redis Cluster specification): 16384 of them, each served by one node, and every name
 * has one. What is between the first '{' and the next '}', when there is something, decides for the whole name. */
#ifndef CKITI_REDIS_SLOT_H
#define CKITI_REDIS_SLOT_H

#include <cachekit/types.h>

#define CKITI_REDIS_SLOTS 16384u

/* The slot of a name given in parts. */
uint16_t ckiti_redis_slot(const ckit_slice *parts, size_t count);

/* The name, or a beginning of names, has such a part in braces. */
bool ckiti_redis_has_tag(ckit_slice text);

/* For every slot four characters that put a name with them in braces there: the first of "0000", "0001", ... "zzzz"
 * that do. */
typedef struct ckiti_redis_tag {
    char text[4];
} ckiti_redis_tag;
void ckiti_redis_tags_make(ckiti_redis_tag tags[CKITI_REDIS_SLOTS]);

#endif
