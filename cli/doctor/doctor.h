/* doctor.h - what the checks of `doctor` share: how findings are told, and what one check found out for the next. */
#ifndef CKIT_CLI_DOCTOR_H
#define CKIT_CLI_DOCTOR_H

#include "command.h"
#include "support/figures.h"

#include <cachekit/error.h>
#include <cachekit/settings.h>
#include <json-c/json_object.h>
#include <sys/stat.h>

#define DOCTOR_PATH 4096
#define DOCTOR_TEXT (2 * DOCTOR_PATH + 256)

/* How grave a finding is. From DOCTOR_SETTING on it is a problem, and the number is the exit code. */
typedef enum doctor_grade {
    DOCTOR_OK = 0,
    DOCTOR_WARNING = 1,
    DOCTOR_SETTING = CLI_USAGE,
    DOCTOR_STORE = CLI_UNREACHABLE,
    DOCTOR_OTHER = CLI_FAILED
} doctor_grade;

/* Where a store of files is, or will be. */
typedef struct doctor_place {
    bool        files;  /* else a store in memory, or none */
    bool        chosen; /* there is something to open */
    bool        exists; /* as a directory that can be used as far as looking tells */
    const char *reason; /* "--store", "CACHEKIT_FILE_CACHE_DIR", "the default" */
    bool        redis;
    const char *query; /* the parameters of a URL; NULL = none */
    char        path[DOCTOR_PATH];
} doctor_place;

typedef struct doctor {
    const cli_common *common;
    bool              all;     /* --all: settings that have their defaults too */
    bool              wrong;   /* a variable is wrong; it is not in this process's environment any more */
    bool              secrets; /* the environment holds some */
    json_object      *answers; /* NULL = told as text */
    unsigned          told[3]; /* ok, warnings, problems */
    int               code;
    uint64_t          entries;  /* files of entries in the store's directory, as counted */
    ckit_settings     settings; /* of the environment, without what is wrong there */
    doctor_place      store;
    doctor_place      run; /* what `run` uses */
} doctor;

/* One finding: shown at once, or put into the answers. `advice` NULL = there is nothing to do. */
void doctor_say(doctor *d, const char *check, doctor_grade grade, const char *advice, const char *format, ...)
    CKIT_PRINTF(5, 6);
/* The grade of a failure of the library. */
doctor_grade doctor_grade_of(const ckit_error *err);

/* settings.c: the environment. */
void doctor_check_settings(doctor *d);
/* The variables that choose a store and are set, separated by commas; returns how many they are. */
#define DOCTOR_DIRECTORY "CACHEKIT_FILE_CACHE_DIR" /* those that this version can follow */
#define DOCTOR_REDIS "CACHEKIT_REDIS_URL"
#define DOCTOR_NAMES 128
size_t doctor_selected(char names[DOCTOR_NAMES]);
/* A variable that is set and not empty, else NULL. */
const char *doctor_variable(const char *name);

/* place.c: which store, and the directory before anybody opens it. */
void doctor_check_choice(doctor *d);
void doctor_check_places(doctor *d);
/* The nearest directory above `path` that exists. */
bool doctor_nearest(const char *path, char out[DOCTOR_PATH], struct stat *st);

/* disk.c: the file system below a directory. */
void doctor_check_file_system(doctor *d, const char *path);
/* Room for what may still come; UINT64_MAX = unknown. */
void doctor_check_space(doctor *d, const char *path, uint64_t more_bytes, uint64_t more_entries);

/* files.c: what lies in the directory. */
void doctor_check_files(doctor *d, const char *path);
/* A file of our own, made and removed: locks, and the clock that stamps files. */
void doctor_check_probe(doctor *d, const char *path);

/* store.c: the store, opened. */
void doctor_check_store(doctor *d);

/* system.c: the machine and the process. */
void doctor_check_version(doctor *d);
void doctor_check_home(doctor *d);
void doctor_check_clocks(doctor *d);
void doctor_check_limits(doctor *d);

#endif
