/* record.h - small records that processes share: a file of its own for each, read and written whole under its lock.
 *
 * A record is 8 bytes of magic, numbers, and the XXH3-64 of all that in its last 8 bytes, big-endian. One that is torn
 * or damaged does not pass for one. A record of another layout has another magic and another file name. Nothing here is
 * mapped into memory: a file that somebody cuts short is a damaged record and no signal. */
#ifndef CKITI_FILE_RECORD_H
#define CKITI_FILE_RECORD_H

#include "store.h"

#define CKITI_FILE_MAGIC_BYTES 8u

/* Reads the `size` bytes of a record. CKIT_MISS when the file does not hold one; a failure when it cannot be read. */
ckit_status ckiti_file_record_read(const ckiti_file_store *store, int fd, const uint8_t magic[CKITI_FILE_MAGIC_BYTES],
                                   uint8_t *raw, size_t size, ckit_error *err);
/* Fills in magic and sum and writes. False when that fails: then the old record is there, or none. */
bool ckiti_file_record_write(const ckiti_file_store *store, int fd, const uint8_t magic[CKITI_FILE_MAGIC_BYTES],
                             uint8_t *raw, size_t size);

#endif
