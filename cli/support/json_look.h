/* json_look.h - what json-c takes that is no JSON, and what it changes silently.
 *
 * Even when strict it ends names at a zero character, makes U+FFFD of half surrogate pairs and the largest integer of
 * whole numbers beyond 64 bits; it lets control characters, 01, 1. and NaN through. So a text is looked through before
 * json-c reads it. That needs no grammar: what the look makes of a text that is no JSON is never asked for behind the
 * place where json-c gives up. */
#ifndef CKIT_CLI_JSON_LOOK_H
#define CKIT_CLI_JSON_LOOK_H

#include <cachekit/error.h>
#include <cachekit/types.h>

/* Set `at` and `end` around the text, the rest zero. */
typedef struct json_look {
    const uint8_t *at; /* the first mistake, or the end */
    const uint8_t *end;
    ckit_status    status; /* CKIT_E_MISUSE, CKIT_E_DEPTH, CKIT_E_TOO_LARGE: json-c must not be asked then */
    const char    *why;    /* static text */

    /* private */
    size_t   depth;
    uint64_t tree_bytes;
} json_look;

/* Goes to the first mistake, or to the first value that is too deep (CKIT_MSGPACK_MAX_DEPTH) or too much for memory (a
 * tree of about 4 GiB). It allocates nothing. */
void cli_json_look(json_look *l);

#endif
