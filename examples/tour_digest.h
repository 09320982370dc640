/* tour_digest.h - the slow function of the tour: what one file comes to. */
#ifndef TOUR_DIGEST_H
#define TOUR_DIGEST_H

#include <cachekit/cachekit.h>

/* A loader: digest(path: bytes, size: integer, mtime_ns: integer). Reads the file, hashes it (BLAKE2b), counts its
 * lines and words and compresses it (LZ4, high compression):
 *
 *     {"bytes": 18092, "lines": 339, "words": 2968, "blake2b": <32 bytes>, "compressed": 7514}
 *
 * Size and time of modification are arguments although the path alone would find the file: a file that has changed is
 * another call, so nothing needs to be invalidated. CKIT_E_FUNCTION when the file cannot be read or is not the one that
 * the arguments describe. From any thread. */
ckit_status tour_digest(void *context, ckit_load *load, ckit_error *err);

#endif
