/* Which store the commands use, and its directory as it looks before anybody opens it. */
#include "doctor/doctor.h"

#include "support/file_url.h"
#include "support/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OTHERS_WRITE (S_IWGRP | S_IWOTH)

/* ---- URLs ------------------------------------------------------------------------------------------------------- */

static bool read_url(const char *url, doctor_place *place) {
    cli_file_url read;
    if (!cli_file_url_read(url, &read)) {
        return false;
    }
    (void)snprintf(place->path, sizeof place->path, "%s", read.path);
    place->query = read.query;
    return true;
}

static bool check_url(doctor *d) {
    ckit_error   err = CKIT_ERROR_INIT;
    cli_file_url read;
    if (!cli_file_url_read(d->common->store, &read)) {
        return true;
    }
    ckit_status st = cli_file_url_check(&read, &err);
    if (st != CKIT_OK) {
        doctor_say(d, "url", DOCTOR_SETTING, "correct the URL of --store", "%s (%s)", err.text, ckit_status_code(st));
    }
    return st == CKIT_OK;
}

static void show_parameters(doctor *d, const char *query) {
    while (query != NULL && *query != '\0') {
        char   text[DOCTOR_PATH];
        size_t length = strcspn(query, "&");
        if (cli_url_decode(query, length, text, sizeof text)) {
            doctor_say(d, "setting", DOCTOR_OK, NULL, "%s (the URL)", text);
        }
        query += length + (query[length] == '&');
    }
}

/* ---- choosing --------------------------------------------------------------------------------------------------- */

static void choose_files(doctor_place *place, const char *path, const char *reason) {
    (void)snprintf(place->path, sizeof place->path, "%s", path);
    place->files = place->chosen = true;
    place->reason = reason;
}

static void choose_by_url(doctor *d, doctor_place *place) {
    place->reason = "--store";
    place->files = read_url(d->common->store, place);
    place->chosen = !place->files || check_url(d);
    if (place->chosen && place->files) {
        show_parameters(d, place->query);
    }
}

static bool choose_default(doctor *d, doctor_place *place, const char *check) {
    char path[DOCTOR_PATH];
    if (!cli_default_directory(path, sizeof path)) {
        doctor_say(d, check, DOCTOR_SETTING, "set XDG_CACHE_HOME or HOME, or give --store URL",
                   "there is no home directory for the user's own files");
        return false;
    }
    choose_files(place, path, "the default");
    return true;
}

static void choose_by_environment(doctor *d, doctor_place *place) {
    char   names[DOCTOR_NAMES];
    size_t count = doctor_selected(names);
    if (count > 1) {
        doctor_say(d, "store", DOCTOR_SETTING, "keep one of the variables that choose it",
                   "it cannot be told which store is meant: it is not looked at");
    } else if (strcmp(names, DOCTOR_DIRECTORY) == 0) {
        choose_files(place, d->settings.file_cache_dir, DOCTOR_DIRECTORY);
    } else if (count == 1 || doctor_variable("REDIS_URL") != NULL) {
        place->chosen = true; /* opening it says what is the matter */
        place->reason = "the environment";
    } else {
        (void)choose_default(d, place, "store");
    }
}

void doctor_check_choice(doctor *d) {
    if (d->common->store != NULL) {
        choose_by_url(d, &d->store);
        d->run = d->store;
    } else {
        choose_by_environment(d, &d->store);
        if (!(d->store.chosen && strcmp(d->store.reason, "the default") == 0)) {
            (void)choose_default(d, &d->run, "run");
        } else {
            d->run = d->store;
        }
    }
    if (d->store.files && d->store.chosen) {
        doctor_say(d, "store", DOCTOR_OK, NULL, "commands use files in %s (%s)", d->store.path, d->store.reason);
    }
    if (d->run.files && d->run.chosen) {
        doctor_say(d, "run", DOCTOR_OK, NULL, "`cachekit run` uses files in %s (%s)", d->run.path, d->run.reason);
    }
}

/* ---- the directory ---------------------------------------------------------------------------------------------- */

static void cut_slashes(char *path) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        path[--length] = '\0';
    }
}

/* The directory that `path` is in. */
static void to_parent(char *path) {
    cut_slashes(path);
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        (void)snprintf(path, DOCTOR_PATH, ".");
    } else {
        slash[slash == path ? 1 : 0] = '\0';
        cut_slashes(path);
    }
}

bool doctor_nearest(const char *path, char out[DOCTOR_PATH], struct stat *st) {
    (void)snprintf(out, DOCTOR_PATH, "%s", path);
    cut_slashes(out);
    while (lstat(out, st) != 0) {
        if (errno != ENOENT || strcmp(out, "/") == 0 || strcmp(out, ".") == 0) {
            return false;
        }
        to_parent(out);
    }
    return stat(out, st) == 0;
}

static const char *user_name(uid_t uid, char text[64]) {
    const struct passwd *user = getpwuid(uid);
    (void)snprintf(text, 64, "%s%s%lu", user == NULL ? "user" : user->pw_name, user == NULL ? " " : ", user ",
                   (unsigned long)uid);
    return text;
}

/* Would it be made, if somebody opened the store now? */
static void check_absent(doctor *d, const char *check, const char *path) {
    char        parent[DOCTOR_PATH];
    struct stat st;
    if (!doctor_nearest(path, parent, &st)) {
        doctor_say(d, check, DOCTOR_STORE, "correct the path, or what lies on it", "%s cannot be made: %s: %s", path,
                   parent, strerror(errno));
    } else if (!S_ISDIR(st.st_mode)) {
        doctor_say(d, check, DOCTOR_STORE, "choose another path", "%s cannot be made: %s is not a directory", path,
                   parent);
    } else if (st.st_nlink == 0) {
        doctor_say(d, check, DOCTOR_STORE, "write an absolute path, or go to a directory that exists",
                   "%s cannot be made: the working directory is removed", path);
    } else if (faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS) != 0) {
        doctor_say(d, check, DOCTOR_STORE, "make it with the right owner, or choose another path",
                   "%s cannot be made in %s: %s", path, parent, strerror(errno));
    } else {
        doctor_say(d, check, DOCTOR_OK, NULL, "%s does not exist yet and would be made (in %s)", path, parent);
    }
}

/* Who may write to a directory above can put another one in the place of ours (CWE-379). */
static void check_above(doctor *d, const char *check, const char *path) {
    char        above[DOCTOR_PATH];
    struct stat st;
    if (realpath(path, above) == NULL) {
        return;
    }
    while (strcmp(above, "/") != 0) {
        to_parent(above);
        if (stat(above, &st) == 0 && (st.st_mode & OTHERS_WRITE) != 0 && (st.st_mode & S_ISVTX) == 0) {
            doctor_say(d, check, DOCTOR_WARNING, "take write permission from group and others there (chmod go-w)",
                       "%s above it can be written by others (mode %04o): they can put another directory in its place",
                       above, (unsigned)(st.st_mode & 07777));
        }
    }
}

static bool check_present(doctor *d, const char *check, const char *path, const struct stat *st) {
    char owner[64];
    char self[64];
    if (S_ISLNK(st->st_mode)) {
        doctor_say(d, check, DOCTOR_STORE, "name the directory that the link points to", "%s is a symbolic link", path);
    } else if (!S_ISDIR(st->st_mode)) {
        doctor_say(d, check, DOCTOR_STORE, "choose another path, or remove it", "%s is not a directory", path);
    } else if (st->st_uid != geteuid()) {
        doctor_say(d, check, DOCTOR_STORE,
                   "give it to the user that uses it (chown), or choose a directory of your own",
                   "%s belongs to %s, and this is %s", path, user_name(st->st_uid, owner), user_name(geteuid(), self));
    } else if ((st->st_mode & OTHERS_WRITE) != 0) {
        doctor_say(d, check, DOCTOR_STORE, "take write permission from group and others (chmod go-w)",
                   "%s can be written by others (mode %04o)", path, (unsigned)(st->st_mode & 07777));
    } else if ((st->st_mode & S_IRWXU) != S_IRWXU && geteuid() != 0) {
        doctor_say(d, check, DOCTOR_STORE, "give its owner all permissions (chmod u+rwx)",
                   "%s cannot be used by its owner (mode %04o)", path, (unsigned)(st->st_mode & 07777));
    } else {
        doctor_say(d, check, DOCTOR_OK, NULL, "%s is ours (mode %04o)", path, (unsigned)(st->st_mode & 07777));
        return true;
    }
    return false;
}

static void check_directory(doctor *d, const char *check, doctor_place *place) {
    char        path[DOCTOR_PATH];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s", place->path);
    cut_slashes(path); /* behind a slash, a symbolic link is followed */
    if (path[0] != '/') {
        doctor_say(d, check, DOCTOR_WARNING, "write an absolute path",
                   "%s begins in the working directory: from elsewhere it is another one%s", path,
                   path[0] == '~' ? ", and ~ is a name like any other" : "");
    }
    if (lstat(path, &st) == 0) {
        place->exists = check_present(d, check, path, &st);
        check_above(d, check, path);
    } else if (errno == ENOENT) {
        check_absent(d, check, path);
    } else {
        doctor_say(d, check, DOCTOR_STORE, "correct the path, or the permissions on it", "%s: %s", path,
                   strerror(errno));
    }
}

void doctor_check_places(doctor *d) {
    bool files = d->store.files && d->store.chosen;
    if (files) {
        check_directory(d, "directory", &d->store);
        doctor_check_file_system(d, d->store.path);
    }
    if (d->run.files && d->run.chosen && !(files && strcmp(d->run.path, d->store.path) == 0)) {
        check_directory(d, "run-directory", &d->run);
    }
}
