/* base/log.h - one line to the instance's sink. */
#ifndef CKITI_BASE_LOG_H
#define CKITI_BASE_LOG_H

#include <cachekit/types.h>

/* Nothing is formatted when `level` is below the sink's. NULL log = standard error, warnings and worse. */
void ckiti_log(const ckit_log *log, ckit_log_level level, const char *component, const char *format, ...)
    CKIT_PRINTF(4, 5);

#endif
