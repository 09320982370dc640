/* entry.h - what an entry looks like on disk: its name and its header. Pure functions, no I/O.
 *
 * The layout is the one of the released CacheKit SDKs (cachekit/file.h shows it). */
#ifndef CKITI_FILE_ENTRY_H
#define CKITI_FILE_ENTRY_H

#include <cachekit/types.h>

#define CKITI_FILE_HEADER_BYTES 14u
#define CKITI_FILE_EXPIRY_OFFSET 6
#define CKITI_FILE_EXPIRY_BYTES 8u
#define CKITI_FILE_HASH_BYTES 16u
#define CKITI_FILE_NAME_CHARS 32u

/* An entry's name with its terminating zero. */
typedef struct ckiti_file_name {
    char text[CKITI_FILE_NAME_CHARS + 1];
} ckiti_file_name;

void ckiti_file_name_of_key(ckiti_file_name *out, ckit_slice key);
/* Exactly 32 lower-case hex digits: the only names that are ever counted as entries. */
bool ckiti_file_is_entry_name(const char *name);
/* `name` of an entry as the 16 bytes it stands for, and back. */
void ckiti_file_name_to_hash(uint8_t hash[CKITI_FILE_HASH_BYTES], const char *name);
void ckiti_file_name_of_hash(ckiti_file_name *out, const uint8_t hash[CKITI_FILE_HASH_BYTES]);

typedef enum ckiti_file_header_state {
    CKITI_HEADER_OK,
    CKITI_HEADER_CORRUPT, /* short, another magic or version: the file may be removed */
    CKITI_HEADER_NEWER    /* reserved or flag bits are set: a newer writer's; missing for us, and left alone */
} ckiti_file_header_state;

/* `expiry_s` is filled only with OK: Unix seconds, 0 = never. `len` may be anything. */
ckiti_file_header_state ckiti_file_header_parse(const uint8_t *bytes, size_t len, uint64_t *expiry_s);
void                    ckiti_file_header_write(uint8_t out[CKITI_FILE_HEADER_BYTES], uint64_t expiry_s);

/* The stamp of an entry that is stored at `now_ms` for `ttl_ms`. The format has whole seconds; rounded up, so that an
 * entry never lives shorter than asked (and less than a second longer). 0 for CKIT_TTL_NO_EXPIRY. */
uint64_t ckiti_file_expiry_stamp(int64_t now_ms, uint64_t ttl_ms);
/* Milliseconds left: 0 when the clock has reached the stamp, CKIT_LIFE_NO_EXPIRY for stamp 0. Never more than the
 * longest lifetime that can be asked for, whatever a damaged stamp claims. */
uint64_t ckiti_file_life(uint64_t expiry_s, int64_t now_ms);

#endif
