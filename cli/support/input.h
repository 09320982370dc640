/* input.h - reading values to their end. */
#ifndef CKIT_CLI_INPUT_H
#define CKIT_CLI_INPUT_H

#include <cachekit/types.h>

/* Appends what `fd` still holds, to its end or until `out` has more than `most` bytes. CLI_DONE, or an exit code after
 * an error was printed; `name` is for that. */
int cli_read_all(int fd, const char *name, size_t most, ckit_buf *out);

#endif
