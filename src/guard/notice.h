/* guard/notice.h - what a guard tells other processes about itself: a file of its own in `status_dir`, written anew
 * when the circuit changes and otherwise at most once a second, by whoever comes by then; gone with the guard.
 *
 * A store in trouble cannot be asked how it is, so this does not go through the store. The file is lines of text, "name
 * value", written under another name and moved into place, so that nobody reads half of it. What cannot be written is
 * not told: a guard fails nobody's operation because of it. */
#ifndef CKITI_GUARD_NOTICE_H
#define CKITI_GUARD_NOTICE_H

#include <cachekit/guard.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define CKITI_NOTICE_PAUSE_US 1000000u

typedef struct ckiti_notice {
    bool             tells;
    int              dir;
    uint32_t         number; /* tells the guards of a process apart */
    _Atomic uint64_t due_us;
    atomic_flag      writing;
    pid_t            told_by; /* 0: this process has told nothing yet */
} ckiti_notice;

/* Begins to tell; a directory that cannot be used gets a line in the guard's log. `guard` is complete. */
void ckiti_notice_begin(ckit_guard *guard, const char *status_dir);
/* Takes the file away. Accepts a guard that tells nothing. */
void ckiti_notice_end(ckit_guard *guard);
/* Something has changed that people want to see at once. */
void ckiti_notice_tell(ckit_guard *guard);
/* Tells when the last time is long enough ago. */
void ckiti_notice_pass(ckit_guard *guard, uint64_t now_us);
/* After fork, in the child: the file is the parent's. */
void ckiti_notice_fork_child(ckiti_notice *notice);

#endif
