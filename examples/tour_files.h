/* tour_files.h - which files the tour works on, and its directory for the time being. */
#ifndef TOUR_FILES_H
#define TOUR_FILES_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The tour is a matter of seconds: no more than this. */
#define TOUR_MAX_FILES 4000u
#define TOUR_MAX_BYTES (UINT64_C(300) << 20)
#define TOUR_MAX_FILE_BYTES (UINT64_C(16) << 20) /* larger files are left out */
#define TOUR_FEW_FILES 2000u                     /* with fewer, /usr/share/doc counts as stripped */

typedef struct tour_file {
    char    *path;
    uint64_t size;
    int64_t  mtime_ns;
} tour_file;

typedef struct tour_files {
    tour_file  *files;
    size_t      count;
    size_t      capacity;
    uint64_t    bytes;
    const char *places; /* where they are, for people */
} tour_files;

/* The readable regular files under /usr/share/doc and, on a machine without much documentation, under `source_tree` and
 * /usr/lib too, in the order of their names, up to the limits above. Ends early when *stop is set. */
bool tour_files_find(tour_files *files, const char *source_tree, const volatile sig_atomic_t *stop);
/* Writes the list to a file, and reads it back in another process. */
bool tour_files_save(const tour_files *files, const char *path);
bool tour_files_load(tour_files *files, const char *path);
/* Takes out the files that are marked with an empty path. */
void tour_files_drop_marked(tour_files *files);
void tour_files_fini(tour_files *files);

/* Removes a directory with everything in it. */
void tour_remove_tree(const char *directory);

#endif
