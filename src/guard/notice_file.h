/* guard/notice_file.h - what a notice (notice.h) looks like, and whose it is. */
#ifndef CKITI_GUARD_NOTICE_FILE_H
#define CKITI_GUARD_NOTICE_FILE_H

#include <cachekit/guard.h>

#define CKITI_NOTICE_BYTES 4096u
#define CKITI_NOTICE_PREFIX "guard-"
#define CKITI_NOTICE_HEAD "cachekit-guard 1"
#define CKITI_NOTICE_FIGURE 32u /* bytes of a figure's text */

/* The name of figure number `i` and its value as text; NULL: there are no more. */
const char *ckiti_notice_figure(size_t i, const ckit_guard_stats *stats, char value[CKITI_NOTICE_FIGURE]);
/* When a process was started, in the system's own measure: with it a number that is used again is told apart. 0:
 * unknown. */
uint64_t ckiti_notice_born(uint64_t pid);
/* Removes what processes have left behind that are gone for an hour, notices that were never finished among it. */
void ckiti_notice_tidy(int dir);

#endif
