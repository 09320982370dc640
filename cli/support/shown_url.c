#include "support/shown_url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MASK "********"

static int begins(const char *text, const char *with) { return strncasecmp(text, with, strlen(with)) == 0; }

int cli_url_is_redis(const char *url) { return begins(url, "redis") || begins(url, "unix:"); }

static size_t add(char *text, size_t used, const char *more, size_t length) {
    int written = snprintf(text + used, CLI_SHOWN_URL - used, "%.*s", (int)length, more);
    used += written > 0 ? (size_t)written : 0;
    return used < CLI_SHOWN_URL ? used : CLI_SHOWN_URL - 1;
}

const char *cli_url_shown(const char *url, char text[CLI_SHOWN_URL]) {
    static const char *const secret[] = {"password=", "username=", "sentinel_password=", "sentinel_username="};
    if (url == NULL) {
        return NULL;
    }
    if (begins(url, "file:") || begins(url, "memory:")) {
        (void)add(text, 0, url, strlen(url));
        return text;
    }
    const char *at = strrchr(url, '@');
    const char *scheme = strstr(url, "://");
    const char *rest = at == NULL ? url : at;
    size_t      used = 0;
    text[0] = '\0';
    if (at != NULL) {
        used = add(text, used, url, scheme != NULL && scheme < at ? (size_t)(scheme + 3 - url) : 0);
        used = add(text, used, MASK, strlen(MASK));
    }
    while (*rest != '\0') {
        size_t length = strcspn(rest, "?&");
        length += rest[length] != '\0';
        size_t named = 0;
        for (size_t i = 0; rest != url && i < sizeof secret / sizeof *secret; i++) {
            named = begins(rest, secret[i]) ? strlen(secret[i]) : named;
        }
        if (named > 0) {
            used = add(text, used, rest, named);
            used = add(text, used, MASK, strlen(MASK));
            used = rest[length - 1] == '&' ? add(text, used, "&", 1) : used;
        } else {
            used = add(text, used, rest, length);
        }
        rest += length;
    }
    return text;
}
