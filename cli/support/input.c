#include "support/input.h"

#include "support/output.h"

#include <cachekit/buf.h>
#include <errno.h>
#include <unistd.h>

#define ONE_READ ((size_t)64 << 10)

int cli_read_all(int fd, const char *name, size_t most, ckit_buf *out) {
    while (out->len <= most) {
        if (ckit_buf_reserve(out, ONE_READ) != CKIT_OK) {
            return cli_no_memory();
        }
        ssize_t got = read(fd, out->ptr + out->len, ONE_READ);
        if (got < 0 && errno != EINTR) {
            cli_error("%s cannot be read: %s", name, strerror(errno));
            return CLI_FAILED;
        }
        if (got == 0) {
            break;
        }
        out->len += got > 0 ? (size_t)got : 0;
    }
    return CLI_DONE;
}
