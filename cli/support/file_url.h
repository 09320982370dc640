/* file_url.h - what a file: URL names, without opening it: opening makes the directory. */
#ifndef CKIT_CLI_FILE_URL_H
#define CKIT_CLI_FILE_URL_H

#include <cachekit/error.h>
#include <stdbool.h>
#include <stddef.h>

#define CLI_FILE_URL_PATH 4096

typedef struct cli_file_url {
    char        path[CLI_FILE_URL_PATH]; /* the directory, decoded */
    const char *query;                   /* the parameters as they are written; NULL = none */
} cli_file_url;

/* False for what is no such URL, or not well formed: opening that makes nothing and says what is wrong. */
bool cli_file_url_read(const char *url, cli_file_url *out);
/* Reads the parameters with everything that goes with them, as opening would. CKIT_OK, or a failure of the kind
 * MISUSE. */
ckit_status cli_file_url_check(const cli_file_url *url, ckit_error *err);
/* Undoes %NN in `length` bytes of a URL. False when that is not possible, or the result is empty or too long for
 * `size`. */
bool cli_url_decode(const char *text, size_t length, char *out, size_t size);

#endif
