/* shown_url.h - the URL of a store as it may be shown. */
#ifndef CKIT_CLI_SHOWN_URL_H
#define CKIT_CLI_SHOWN_URL_H

#include <stddef.h>

#define CLI_SHOWN_URL 4200

/* The URL without user and password, and without the values of such parameters. Rather too much is hidden than too
 * little: everything between "://" and the last '@'. URLs of files, which have no secrets, stay as they are. Returns
 * `text`; NULL for a URL that is NULL. */
const char *cli_url_shown(const char *url, char text[CLI_SHOWN_URL]);

/* Whether a URL, well formed or not, means a Redis store. */
int cli_url_is_redis(const char *url);

#endif
