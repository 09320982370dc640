/* tour_redis.h - the same answers shared through a Redis server, where there is one. */
#ifndef TOUR_REDIS_H
#define TOUR_REDIS_H

#include "tour_files.h"

/* Calls the slow function for some of the files over a Redis server, then again with a memory that is empty, as another
 * host would, and prints both in a line each. Its keys begin with "cachekit-tour:" and the number of this process,
 * expire after a minute, and are removed at the end. Nothing is printed when no server answers at the URL, or it wants
 * a password. False when one answers and the second pass did not get the first one's results from it. */
bool tour_redis(const tour_files *files, const char *url, const volatile sig_atomic_t *stop);

#endif
