#include "record.h"

#include "base/hash.h"
#include "bytes.h"

#include <errno.h>

#define SUM_BYTES 8u

static uint64_t sum_of(const uint8_t *raw, size_t size) { return ckiti_xxh3((ckit_slice){raw, size - SUM_BYTES}, 0); }

ckit_status ckiti_file_record_read(const ckiti_file_store *store, int fd, const uint8_t magic[CKITI_FILE_MAGIC_BYTES],
                                   uint8_t *raw, size_t size, ckit_error *err) {
    struct iovec part = {raw, size};
    ssize_t      got = ckiti_file_read_all(store->io, fd, &part, 1, 0);
    if (got < 0) {
        return ckiti_file_fail(err, errno, "reading a bookkeeping file");
    }
    return got == (ssize_t)size && memcmp(raw, magic, CKITI_FILE_MAGIC_BYTES) == 0 &&
                   get_u64(raw + size - SUM_BYTES) == sum_of(raw, size)
               ? CKIT_OK
               : CKIT_MISS;
}

bool ckiti_file_record_write(const ckiti_file_store *store, int fd, const uint8_t magic[CKITI_FILE_MAGIC_BYTES],
                             uint8_t *raw, size_t size) {
    memcpy(raw, magic, CKITI_FILE_MAGIC_BYTES);
    put_u64(raw + size - SUM_BYTES, sum_of(raw, size));
    return store->io->write_at(store->io->self, fd, raw, size, 0) == (ssize_t)size;
}
