#include "support/file_url.h"

#include <cachekit/open.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool cli_url_decode(const char *text, size_t length, char *out, size_t size) {
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (text[i] == '%') {
            if (i + 2 >= length || sodium_hex2bin(&byte, 1, text + i + 1, 2, NULL, NULL, NULL) != 0) {
                return false;
            }
            i += 2;
        }
        if (byte < 0x20 || byte == 0x7f || used + 1 >= size) {
            return false;
        }
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    return used > 0;
}

bool cli_file_url_read(const char *url, cli_file_url *out) {
    if (strncasecmp(url, "file:", 5) != 0 || strchr(url, '#') != NULL) {
        return false;
    }
    const char *path = url + 5;
    size_t      length = strcspn(path, "?");
    out->query = path[length] == '?' ? path + length + 1 : NULL;
    if (strncmp(path, "//", 2) == 0) {
        size_t host = strcspn(path + 2, "/?");
        if (host > 0 && (host != 9 || strncasecmp(path + 2, "localhost", 9) != 0)) {
            return false;
        }
        path += 2 + host;
        length -= 2 + host;
    }
    return cli_url_decode(path, length, out->path, sizeof out->path);
}

/* On a path that never becomes a directory. */
ckit_status cli_file_url_check(const cli_file_url *url, ckit_error *err) {
    char             text[CLI_FILE_URL_PATH * 3];
    ckit_error       why = CKIT_ERROR_INIT;
    ckit_log         silent = {.level = CKIT_LOG_OFF};
    ckit_backend    *backend = NULL;
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    env.log = &silent;
    (void)snprintf(text, sizeof text, "file:///dev/null%s%s", url->query == NULL ? "" : "?",
                   url->query == NULL ? "" : url->query);
    ckit_status st = ckit_backend_open(text, &env, &backend, &why);
    ckit_backend_close(backend);
    if (ckit_status_kind(st) != CKIT_KIND_MISUSE) {
        return CKIT_OK;
    }
    *err = why;
    return st;
}
