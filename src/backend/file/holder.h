/* holder.h - which process holds a lease, and whether it is certainly gone.
 *
 * A process is known by its pid and by when it started, since pids are used again. Both mean something only within one
 * boot and one PID namespace: its place. Elsewhere (another host, another container), or where the system does not tell
 * (no /proc), nothing is known, and who knows nothing takes nobody for dead.
 *
 * Nothing is remembered between calls, so a forked child speaks for itself at once. Any thread; never blocks. */
#ifndef CKITI_FILE_HOLDER_H
#define CKITI_FILE_HOLDER_H

#include <cachekit/types.h>

#define CKITI_FILE_PLACE_BYTES 32u

typedef struct ckiti_file_holder {
    uint8_t  place[CKITI_FILE_PLACE_BYTES]; /* boot id (16), device and inode of the PID namespace, big-endian */
    uint64_t pid;                           /* as its own namespace counts; 0 = not known who */
    uint64_t start_ticks;                   /* field 22 of /proc/PID/stat */
} ckiti_file_holder;

/* The process that calls, whichever thread; all zero where it cannot be told. */
void ckiti_file_holder_self(ckiti_file_holder *out);
/* True only when the holder certainly runs no more: its place is ours and there is no such pid, or another process has
 * it, or what is left of it waits for its parent. Accepts any bytes. */
bool ckiti_file_holder_is_dead(const ckiti_file_holder *holder);

/* What the boot clock and start times count from: a hash of the kernel's id of the boot, mixed with the time namespace
 * unless that is the first one. All zero when it cannot be told. */
void ckiti_file_boot_id(uint8_t id[16]);

/* What a line of /proc/PID/stat says. */
typedef struct ckiti_file_process {
    char     state;       /* 'Z': ended, its parent has not asked yet */
    uint64_t threads;     /* those still running, and the first one also when it has ended */
    uint64_t start_ticks; /* since the boot */
} ckiti_file_process;
/* False when the line is not understood as a whole up to the start time. The name in it may hold anything. */
bool ckiti_file_process_parse(ckit_slice line, ckiti_file_process *out);

#endif
