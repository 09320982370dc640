#include <cachekit/cachekit.h>

const char *ckit_version(void) { return CKIT_VERSION; }
