/* index_record.h - the bytes of the index. Pure functions, no I/O.
 *
 *     file    header, then records
 *     header  "CKINDEX1", salt u64, base u64 (the file's size after it was last compacted), check u64
 *     record  "CKIX", body length u32, check u64,
 *             body: name (16 bytes), created i64 (Unix milliseconds),
 *                   key length u32, namespace length u32, function length u32, the three
 *
 * Numbers are big-endian. The checks are XXH3-64, a record's seeded with the salt: keys come from outside, and without
 * the salt nobody can write a key that reads as a record. A torn or damaged record is skipped: reading goes on at the
 * next place that holds a whole one. */
#ifndef CKITI_FILE_INDEX_RECORD_H
#define CKITI_FILE_INDEX_RECORD_H

#include <cachekit/types.h>

#include "entry.h"

#define CKITI_INDEX_HEADER_BYTES 32u
#define CKITI_INDEX_FIXED_BYTES 52u /* of a record, before the texts */
#define CKITI_INDEX_MAX_TEXT 65536u /* of each text */

typedef struct ckiti_index_header {
    uint64_t salt;
    uint64_t base;
} ckiti_index_header;

void ckiti_index_header_write(uint8_t out[CKITI_INDEX_HEADER_BYTES], const ckiti_index_header *header);
bool ckiti_index_header_parse(ckit_slice bytes, ckiti_index_header *out);

/* Slices point into the bytes that were parsed. */
typedef struct ckiti_index_record {
    uint8_t    hash[CKITI_FILE_HASH_BYTES];
    int64_t    created_ms;
    ckit_slice key;
    ckit_slice namespace_name;
    ckit_slice function;
} ckiti_index_record;

/* 0 when a text is too long for a record. */
size_t ckiti_index_record_size(const ckiti_index_record *record);
/* Writes ckiti_index_record_size bytes. */
void ckiti_index_record_write(uint8_t *out, const ckiti_index_record *record, uint64_t salt);
/* The next whole record at or after `*at`; `*start` is where it begins and `*at` becomes its end. False at the end. */
bool ckiti_index_record_next(ckit_slice bytes, uint64_t salt, size_t *at, size_t *start, ckiti_index_record *out);

#endif
