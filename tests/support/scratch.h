/* support/scratch.h - private directories for tests.
 *
 *     char dir[SCRATCH_PATH];
 *     scratch_make(dir);
 *     ...
 *     scratch_remove(dir);
 *
 * Made under $CKIT_SCRATCH (CTest points it into the build tree) or /tmp, mode 0700. A directory that its test did not
 * remove is removed when the program ends, unless CKIT_SCRATCH_KEEP is set. */
#ifndef CKIT_SUPPORT_SCRATCH_H
#define CKIT_SUPPORT_SCRATCH_H

#include <cachekit/types.h>

#define SCRATCH_PATH 512

/* Makes a fresh directory and writes its path to `path`; fails the test when it cannot. */
void scratch_make(char path[SCRATCH_PATH]);
/* Removes it with everything in it. Follows no symbolic links. Fine when it is already gone. */
void scratch_remove(const char *path);

/* Writes, and reads (malloc'ed, terminated by a zero that is not counted), a whole file; fail the test on error. */
void     scratch_write_file(const char *path, ckit_slice bytes);
uint8_t *scratch_read_file(const char *path, size_t *len);
/* How many entries a directory has (without . and ..), hidden ones included. */
size_t scratch_count_files(const char *dir);

#endif
