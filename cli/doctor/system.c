/* The machine and the process: version, home, clocks, limits. */
#include "doctor/doctor.h"

#include "support/store.h"
#include "support/units.h"

#include <cachekit/cachekit.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define EARLIEST_S INT64_C(1735689600) /* 2025: this program did not exist before */
#define LATEST_S INT64_C(4102444800)   /* 2100 */
#define FEW_FILES 64
#define READINGS 1000

void doctor_check_version(doctor *d) {
    doctor_say(d, "version", DOCTOR_OK, NULL, "cachekit %s", ckit_version()); /* the library is linked in */
}

/* ---- home ------------------------------------------------------------------------------------------------------- */

static void check_base(doctor *d, const char *variable, const char *otherwise) {
    const char *path = doctor_variable(variable);
    struct stat st;
    if (path == NULL) {
        doctor_say(d, "home", DOCTOR_OK, NULL, "%s is not set: %s", variable, otherwise);
    } else if (path[0] != '/') {
        doctor_say(d, "home", DOCTOR_WARNING, "write an absolute path",
                   "%s is not an absolute path and does not count: %s", variable, otherwise);
    } else if (stat(path, &st) != 0) {
        doctor_say(d, "home", errno == ENOENT ? DOCTOR_OK : DOCTOR_WARNING, NULL, "%s=%s: %s", variable, path,
                   strerror(errno));
    } else if (st.st_uid != geteuid()) {
        doctor_say(d, "home", DOCTOR_WARNING, "set it to a directory of this user (sudo -H does)",
                   "%s=%s belongs to user %lu, and this is user %lu", variable, path, (unsigned long)st.st_uid,
                   (unsigned long)geteuid());
    } else {
        doctor_say(d, "home", DOCTOR_OK, NULL, "%s=%s", variable, path);
    }
}

static void check_temporary(doctor *d) {
    const char *path = doctor_variable("TMPDIR");
    struct stat st;
    const char *shown = path != NULL && path[0] == '/' ? path : "/tmp";
    if (path != NULL && path[0] != '/') {
        doctor_say(d, "temporary", DOCTOR_WARNING, "write an absolute path",
                   "TMPDIR is not an absolute path and does not count: /tmp is used");
    }
    if (stat(shown, &st) != 0 || !S_ISDIR(st.st_mode) || faccessat(AT_FDCWD, shown, W_OK | X_OK, AT_EACCESS) != 0) {
        doctor_say(d, "temporary", DOCTOR_WARNING, "set TMPDIR to a directory that this user can write",
                   "%s cannot be used for temporary files", shown);
    } else if ((st.st_mode & S_IWOTH) != 0 && (st.st_mode & S_ISVTX) == 0) {
        doctor_say(d, "temporary", DOCTOR_WARNING, "set the sticky bit on it (chmod +t)",
                   "in %s others can remove and replace anybody's files (mode %04o)", shown,
                   (unsigned)(st.st_mode & 07777));
    } else {
        doctor_say(d, "temporary", DOCTOR_OK, NULL, "%s can be used", shown);
    }
}

/* Whether a guard could write a notice there. It makes the directory, but none above it. */
static bool can_tell_in(const char *path) {
    char        above[DOCTOR_PATH];
    struct stat st;
    if (stat(path, &st) == 0) {
        return S_ISDIR(st.st_mode) && faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0;
    }
    return errno == ENOENT && (size_t)snprintf(above, sizeof above, "%s", path) < sizeof above &&
           faccessat(AT_FDCWD, dirname(above), W_OK | X_OK, AT_EACCESS) == 0;
}

static void check_status(doctor *d) {
    const char *path = doctor_variable("CACHEKIT_STATUS_DIR");
    if (path != NULL && path[0] != '/') {
        doctor_say(d, "status", DOCTOR_WARNING, "write an absolute path",
                   "CACHEKIT_STATUS_DIR=%s is another directory for each program that was started elsewhere", path);
    } else if (path != NULL && !can_tell_in(path)) {
        doctor_say(d, "status", DOCTOR_WARNING, "name a directory that this user can write",
                   "CACHEKIT_STATUS_DIR=%s cannot be used: programs do not tell how their guards are", path);
    } else if (path != NULL) {
        doctor_say(d, "status", DOCTOR_OK, NULL, "programs tell how their guards are in %s", path);
    }
}

void doctor_check_home(doctor *d) {
    check_base(d, "HOME", "only XDG_CACHE_HOME can tell where the user's own files are");
    check_base(d, "XDG_CACHE_HOME", "$HOME/.cache is used");
    check_temporary(d);
    check_status(d);
}

/* ---- clocks ----------------------------------------------------------------------------------------------------- */

static void check_wall(doctor *d) {
    char         text[64] = "?";
    struct tm    parts;
    struct timex kernel = {.modes = 0};
    time_t       now = time(NULL);
    if (gmtime_r(&now, &parts) != NULL) {
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
    }
    if (now < EARLIEST_S || now >= LATEST_S) {
        doctor_say(d, "clock", DOCTOR_OTHER, "set the clock (NTP)",
                   "it says %s, which is too %s to be true: entries seem %s", text, now < EARLIEST_S ? "early" : "late",
                   now < EARLIEST_S ? "to live far too long" : "expired");
        return;
    }
    bool followed = adjtimex(&kernel) >= 0 && (kernel.status & STA_UNSYNC) == 0;
    doctor_say(d, "clock", DOCTOR_OK, NULL, "it says %s%s", text,
               followed ? ", kept right by a time service" : "; no time service is known to keep it right");
}

static void check_monotonic(doctor *d) {
    struct timespec last;
    struct timespec now;
    bool            goes_back = clock_gettime(CLOCK_MONOTONIC, &last) != 0;
    for (int i = 0; i < READINGS && !goes_back; i++) {
        goes_back = clock_gettime(CLOCK_MONOTONIC, &now) != 0 || now.tv_sec < last.tv_sec ||
                    (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec);
        last = now;
    }
    doctor_say(d, "monotonic-clock", goes_back ? DOCTOR_OTHER : DOCTOR_OK,
               goes_back ? "choose another clock source of the kernel" : NULL, "it %s",
               goes_back ? "went back" : "never goes back");
}

void doctor_check_clocks(doctor *d) {
    check_wall(d);
    check_monotonic(d);
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static bool is_limited(int result, const struct rlimit *limit) {
    return result == 0 && limit->rlim_cur != RLIM_INFINITY;
}

static void check_open_files(doctor *d) {
    struct rlimit limit;
    if (!is_limited(getrlimit(RLIMIT_NOFILE, &limit), &limit)) {
        doctor_say(d, "open-files", DOCTOR_OK, NULL, "without limit");
        return;
    }
    bool few = limit.rlim_cur < FEW_FILES;
    doctor_say(d, "open-files", few ? DOCTOR_WARNING : DOCTOR_OK, few ? "raise it: ulimit -n 1024" : NULL,
               "a process may open %llu%s", (unsigned long long)limit.rlim_cur, few ? ", which is few" : "");
}

static void check_file_size(doctor *d) {
    struct rlimit limit;
    char          text[CLI_UNITS_TEXT];
    if (is_limited(getrlimit(RLIMIT_FSIZE, &limit), &limit) && limit.rlim_cur < d->settings.file_max_value_bytes) {
        doctor_say(d, "file-size", DOCTOR_WARNING, "raise it (ulimit -f), or lower the limit of values (max_value_mb)",
                   "a process may write %s to a file, and values may be larger: SIGXFSZ would end it",
                   cli_size_text(limit.rlim_cur, text));
    }
}

static void check_core(doctor *d) {
    struct rlimit limit;
    bool          none = is_limited(getrlimit(RLIMIT_CORE, &limit), &limit) && limit.rlim_cur == 0;
    if (!none && d->secrets) {
        doctor_say(d, "core", DOCTOR_OK, "ulimit -c 0 keeps them off the disk",
                   "a crash may write a core file, with the secrets of the environment in it");
    }
}

static void check_mask(doctor *d) {
    mode_t mask = umask(0);
    (void)umask(mask);
    if ((mask & S_IRWXU) != 0) {
        doctor_say(d, "umask", DOCTOR_OTHER, "set it to 077: umask 077",
                   "%04o takes permissions from the owner: what is made could not be read or written again",
                   (unsigned)mask);
    }
}

void doctor_check_limits(doctor *d) {
    check_open_files(d);
    check_file_size(d);
    check_core(d);
    check_mask(d);
}
