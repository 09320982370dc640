/* What lies in a directory of the store, and how its file system behaves. */
#include "doctor/doctor.h"

#include "support/listing.h"
#include "support/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define NAME_DIGITS 32
#define PROGRESS_EVERY 1024
#define LEFTOVER_AGE_S 60   /* older temporary files are removed when the store is opened */
#define CLOCK_TOLERANCE_S 2 /* some file systems stamp in steps of two seconds */

typedef struct census {
    uint64_t entries;
    uint64_t unusable;  /* named like an entry, and not a file of ours alone */
    uint64_t leftovers; /* of writers that were killed */
    uint64_t strays;
    char     stray[64]; /* one of them */
} census;

static bool is_entry_name(const char *name, size_t length) {
    return length == NAME_DIGITS && strspn(name, "0123456789abcdef") >= NAME_DIGITS;
}

static void count_one(census *c, int fd, const char *name, time_t now) {
    struct stat st;
    const char *temporary = strstr(name, ".tmp.");
    bool        own = strncmp(name, ".ck-", 4) == 0;
    size_t      length = temporary == NULL ? strlen(name) : (size_t)(temporary - name);
    bool        entry = is_entry_name(name, length);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (own && temporary == NULL)) {
        return;
    }
    if (!own && !entry) {
        c->strays++;
        (void)snprintf(c->stray, sizeof c->stray, "%.60s", name);
        return;
    }
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return;
    }
    if (temporary != NULL) {
        c->leftovers += now - st.st_mtime > LEFTOVER_AGE_S;
    } else if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink <= 1) {
        c->entries++;
    } else {
        c->unusable++;
    }
}

static bool count(const char *path, census *c) {
    int            fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR           *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    time_t         now = time(NULL);
    if (directory == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return false;
    }
    for (unsigned long seen = 1; (entry = readdir(directory)) != NULL; seen++) {
        count_one(c, fd, entry->d_name, now);
        if (seen % PROGRESS_EVERY == 0) {
            cli_progress("%lu files looked at", seen);
        }
    }
    cli_progress_end();
    (void)closedir(directory);
    return true;
}

void doctor_check_files(doctor *d, const char *path) {
    census c = {0};
    char   text[CLI_COUNT_TEXT];
    if (!count(path, &c)) {
        doctor_say(d, "files", DOCTOR_STORE, "give its owner permission to read it", "%s cannot be listed: %s", path,
                   strerror(errno));
        return;
    }
    d->entries = c.entries;
    if (c.unusable > 0) {
        doctor_say(d, "files", DOCTOR_WARNING, "remove them, or give them back to their owner (chown)",
                   "%llu with the name of an entry cannot be used: of another user, links, or no files",
                   (unsigned long long)c.unusable);
    }
    if (c.strays > c.entries) {
        doctor_say(d, "files", DOCTOR_WARNING,
                   "is this the directory that was meant? better give the cache one of its own",
                   "%llu others and %s, e.g. %s: they are left alone and count for no limit",
                   (unsigned long long)c.strays, cli_entries_text(c.entries, text), c.stray);
    } else if (c.strays > 0) {
        doctor_say(d, "files", DOCTOR_OK, NULL, "%llu others, e.g. %s: they are left alone and count for no limit",
                   (unsigned long long)c.strays, c.stray);
    }
    if (c.leftovers > 0) {
        doctor_say(d, "files", DOCTOR_OK, NULL, "%llu left behind by killed writers: opening the store removes them",
                   (unsigned long long)c.leftovers);
    }
    if (c.unusable + c.strays + c.leftovers == 0) {
        doctor_say(d, "files", DOCTOR_OK, NULL, "%s, and nothing that does not belong there",
                   cli_entries_text(c.entries, text));
    }
}

/* ---- a file of our own ------------------------------------------------------------------------------------------ */

/* Another opening of a locked file must not get the lock. */
static void check_lock(doctor *d, int fd, const char *path) {
    int  other = open(path, O_RDWR | O_CLOEXEC);
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    int  why = errno;
    if (other < 0) {
        return;
    }
    if (!locked) {
        doctor_say(d, "locks", DOCTOR_STORE, "choose a directory on another file system, or mount it with locks",
                   "a file cannot be locked (flock): %s", strerror(why));
    } else if (flock(other, LOCK_EX | LOCK_NB) == 0) {
        doctor_say(d, "locks", DOCTOR_STORE, "choose a directory on another file system, or mount it with locks",
                   "two got the lock of one file at a time: flock does not hold here");
    } else {
        doctor_say(d, "locks", DOCTOR_OK, NULL, "flock holds");
    }
    (void)close(other);
}

/* Leftovers, leases and counts are judged by comparing stamps of files with the clock. */
static void check_stamp(doctor *d, int fd) {
    struct timespec before;
    struct timespec after;
    struct stat     st;
    clock_gettime(CLOCK_REALTIME, &before);
    bool written = write(fd, "", 1) == 1;
    clock_gettime(CLOCK_REALTIME, &after);
    if (!written || fstat(fd, &st) != 0) {
        doctor_say(d, "file-clock", DOCTOR_WARNING, NULL, "a file could not be written: %s", strerror(errno));
        return;
    }
    int64_t ahead = (int64_t)st.st_mtime - after.tv_sec;
    int64_t behind = (int64_t)before.tv_sec - st.st_mtime;
    int64_t apart = ahead > behind ? ahead : behind;
    if (apart <= CLOCK_TOLERANCE_S) {
        doctor_say(d, "file-clock", DOCTOR_OK, NULL, "files are stamped by the same clock");
    } else {
        doctor_say(d, "file-clock", apart > LEFTOVER_AGE_S ? DOCTOR_OTHER : DOCTOR_WARNING,
                   "synchronise the clocks of this machine and of the file server (NTP)",
                   "files are stamped %lld s %s this machine's clock", (long long)apart,
                   ahead > 0 ? "ahead of" : "behind");
    }
}

void doctor_check_probe(doctor *d, const char *path) {
    char name[DOCTOR_PATH + 32];
    /* A name of the library's own kind: it would remove the file if we were killed now. */
    (void)snprintf(name, sizeof name, "%s/.ck-doctor.tmp.XXXXXX", path);
    int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0) {
        doctor_say(d, "locks", DOCTOR_WARNING, NULL, "not tried: no file can be made: %s", strerror(errno));
        return;
    }
    check_lock(d, fd, name);
    check_stamp(d, fd);
    (void)unlink(name);
    (void)close(fd);
}
