#include "tour_files.h"

#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool add(tour_files *files, const char *path, uint64_t size, int64_t mtime_ns) {
    if (files->count == files->capacity) {
        size_t     capacity = files->capacity == 0 ? 256 : files->capacity * 2;
        tour_file *grown = realloc(files->files, capacity * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        files->files = grown;
        files->capacity = capacity;
    }
    tour_file file = {.path = strdup(path), .size = size, .mtime_ns = mtime_ns};
    if (file.path == NULL) {
        return false;
    }
    files->files[files->count++] = file;
    files->bytes += size;
    return true;
}

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

/* Built things change while one looks, and the history of the source is none of the work. */
static bool is_skipped(const FTSENT *entry) {
    return entry->fts_level > 0 && (strcmp(entry->fts_name, ".git") == 0 || strcmp(entry->fts_name, "build") == 0);
}

static bool fits(const tour_files *files, const FTSENT *entry) {
    uint64_t size = (uint64_t)entry->fts_statp->st_size;
    return size <= TOUR_MAX_FILE_BYTES && files->bytes + size <= TOUR_MAX_BYTES &&
           access(entry->fts_accpath, R_OK) == 0;
}

/* `places` ends with NULL. */
static bool walk(tour_files *files, char *const *places, const volatile sig_atomic_t *stop) {
    FTS    *tree = fts_open(places, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    bool    fine = tree != NULL;
    FTSENT *entry;
    while (fine && !*stop && files->count < TOUR_MAX_FILES && (entry = fts_read(tree)) != NULL) {
        const struct stat *about = entry->fts_statp;
        if (entry->fts_info == FTS_D && is_skipped(entry)) {
            fts_set(tree, entry, FTS_SKIP);
        } else if (entry->fts_info == FTS_F && fits(files, entry)) {
            fine = add(files, entry->fts_path, (uint64_t)about->st_size,
                       (int64_t)about->st_mtim.tv_sec * 1000000000 + about->st_mtim.tv_nsec);
        }
    }
    if (tree != NULL) {
        fts_close(tree);
    }
    return fine;
}

bool tour_files_find(tour_files *files, const char *source_tree, const volatile sig_atomic_t *stop) {
    char  documents[] = "/usr/share/doc";
    char  libraries[] = "/usr/lib";
    char *source = strdup(source_tree);
    char *full[] = {documents, NULL};
    char *more[] = {source, libraries, NULL};
    bool  fine = source != NULL && walk(files, full, stop);
    files->places = "/usr/share/doc";
    if (fine && files->count < TOUR_FEW_FILES && !*stop) {
        fine = walk(files, more, stop);
        files->places = "/usr/share/doc, /usr/lib and the source tree";
    }
    free(source);
    return fine;
}

bool tour_files_save(const tour_files *files, const char *path) {
    FILE *out = fopen(path, "we");
    if (out == NULL) {
        return false;
    }
    for (size_t i = 0; i < files->count; i++) {
        const tour_file *file = &files->files[i];
        /* A file's name may hold anything but a zero byte. */
        fprintf(out, "%s%c%llu %lld%c", file->path, '\0', (unsigned long long)file->size, (long long)file->mtime_ns,
                '\0');
    }
    bool fine = ferror(out) == 0;
    return fclose(out) == 0 && fine;
}

bool tour_files_load(tour_files *files, const char *path) {
    char  *name = NULL;
    char  *numbers = NULL;
    size_t name_size = 0;
    size_t numbers_size = 0;
    bool   fine = true;
    FILE  *in = fopen(path, "re");
    if (in == NULL) {
        return false;
    }
    while (fine && getdelim(&name, &name_size, '\0', in) > 0) {
        char              *end = NULL;
        unsigned long long size = 0;
        fine = getdelim(&numbers, &numbers_size, '\0', in) > 0;
        if (fine) {
            size = strtoull(numbers, &end, 10);
            fine = add(files, name, size, strtoll(end, NULL, 10));
        }
    }
    free(name);
    free(numbers);
    fclose(in);
    return fine;
}

void tour_files_drop_marked(tour_files *files) {
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        tour_file *file = &files->files[i];
        if (file->path[0] != '\0') {
            files->files[kept++] = *file;
        } else {
            files->bytes -= file->size;
            free(file->path);
        }
    }
    files->count = kept;
}

void tour_files_fini(tour_files *files) {
    for (size_t i = 0; i < files->count; i++) {
        free(files->files[i].path);
    }
    free(files->files);
    *files = (tour_files){.places = NULL};
}

void tour_remove_tree(const char *directory) {
    char *copy = strdup(directory);
    char *places[] = {copy, NULL};
    FTS  *tree = copy == NULL ? NULL : fts_open(places, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (tree != NULL) {
        for (FTSENT *entry; (entry = fts_read(tree)) != NULL;) {
            if (entry->fts_info == FTS_DP) {
                rmdir(entry->fts_accpath);
            } else if (entry->fts_info != FTS_D) {
                unlink(entry->fts_accpath);
            }
        }
        fts_close(tree);
    }
    free(copy);
}
