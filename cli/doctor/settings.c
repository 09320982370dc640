/* The environment: what is set, what is wrong with it, and what looks meant for us. */
#include "doctor/doctor.h"
#include "run/secret.h"

#include <cachekit/buf.h>
#include <cachekit/open.h>
#include <cachekit/seal.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MASTER_KEY "CACHEKIT_MASTER_KEY"
#define MASTER_KEY_FILE "CACHEKIT_MASTER_KEY_FILE"
#define PREVIOUS_KEYS "CACHEKIT_PREVIOUS_MASTER_KEYS"
#define MASTER_KEY_DIGITS 64 /* 32 bytes */

/* May hold passwords or keys. */
static const char *const secret_variables[] = {MASTER_KEY,           PREVIOUS_KEYS, "CACHEKIT_API_KEY",
                                               "CACHEKIT_REDIS_URL", "REDIS_URL",   NULL};

const char *doctor_variable(const char *name) {
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? NULL : value;
}

/* ---- advice of the library -------------------------------------------------------------------------------------- */

static void take_advice(void *self, ckit_log_level level, const char *component, const char *line) {
    bool warning = level >= CKIT_LOG_WARNING;
    (void)component;
    doctor_say(self, "variable", warning ? DOCTOR_WARNING : DOCTOR_OK, warning ? "rename or unset it" : NULL, "%s",
               line);
}

static void check_names(doctor *d) {
    ckit_log log = {.write = take_advice, .self = d, .level = CKIT_LOG_INFO};
    ckit_settings_advise(NULL, &log);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* Where `name` stands in `text` as a word of its own. */
static const char *find_name(const char *text, const char *name) {
    size_t length = strlen(name);
    for (const char *at = strstr(text, name); at != NULL; at = strstr(at + 1, name)) {
        bool starts = at == text || (!isalnum((unsigned char)at[-1]) && at[-1] != '_');
        if (starts && !isalnum((unsigned char)at[length]) && at[length] != '_') {
            return at;
        }
    }
    return NULL;
}

/* The first variable that an error names and that is set: the one to blame. */
static const char *blamed(const char *text) {
    const char *first = NULL;
    const char *best = NULL;
    for (size_t i = 0; i <= ckit_settings_count(); i++) {
        const char *name = i < ckit_settings_count() ? ckit_settings_at(i)->variable : "TMPDIR";
        const char *at = doctor_variable(name) == NULL ? NULL : find_name(text, name);
        if (at != NULL && (best == NULL || at < first)) {
            first = at;
            best = name;
        }
    }
    return best;
}

/* An error that is about the default of a variable which was wrong and is left out: it may be right in truth. */
static bool is_consequence(const char *text, const char *const *dropped, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char mark[96];
        (void)snprintf(mark, sizeof mark, "%s sets it)", dropped[i]);
        if (strstr(text, mark) != NULL) {
            return true;
        }
    }
    return false;
}

/* Reads them all, leaving out what is wrong one after the other: from here on this process lives without those. */
static void check_values(doctor *d) {
    const char *dropped[CKIT_SETTINGS_MAX];
    size_t      count = 0;
    ckit_error  err = CKIT_ERROR_INIT;
    while (ckit_settings_from_environment(&d->settings, NULL, &err) != CKIT_OK) {
        const char *name = blamed(err.text);
        if (name != NULL && is_consequence(err.text, dropped, count)) {
            doctor_say(d, "setting", DOCTOR_WARNING, "correct the others first", "%s cannot be judged yet", name);
        } else {
            doctor_say(d, "setting", DOCTOR_SETTING,
                       name == NULL ? NULL : "correct or unset it; the other checks are made without it", "%s",
                       err.text);
        }
        d->wrong = true;
        if (name == NULL || count == CKIT_SETTINGS_MAX) {
            break;
        }
        (void)unsetenv(name);
        dropped[count++] = name;
        err = (ckit_error)CKIT_ERROR_INIT;
    }
}

static const char *source_text(const doctor *d, size_t index) {
    bool own_files = d->common->store == NULL && doctor_variable(DOCTOR_DIRECTORY) == NULL;
    if (ckit_settings_source(&d->settings, index) == CKIT_FROM_DEFAULT) {
        return "the default";
    }
    /* The user's own files have the defaults of files, whatever applications are told. */
    return strcmp(ckit_settings_at(index)->group, "files") == 0 && own_files
               ? "the environment; not for the user's own files"
               : "the environment";
}

static void show_values(doctor *d) {
    size_t set = 0;
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        char text[DOCTOR_PATH];
        bool by_default = ckit_settings_source(&d->settings, i) == CKIT_FROM_DEFAULT;
        set += by_default ? 0 : 1;
        if (d->all || !by_default) {
            doctor_say(d, "setting", DOCTOR_OK, NULL, "%s = %s (%s)", ckit_settings_at(i)->variable,
                       ckit_settings_get_text(&d->settings, i, text, sizeof text), source_text(d, i));
        }
    }
    if (set == 0 && !d->all) {
        doctor_say(d, "setting", DOCTOR_OK, NULL, "none of the %zu settings is set: all have their defaults",
                   ckit_settings_count());
    }
}

/* ---- which store ------------------------------------------------------------------------------------------------ */

size_t doctor_selected(char names[DOCTOR_NAMES]) {
    static const char *const variables[] = {DOCTOR_DIRECTORY, "CACHEKIT_REDIS_URL", "CACHEKIT_MEMCACHED_SERVERS",
                                            "CACHEKIT_API_KEY"};
    size_t                   used = 0, count = 0;
    names[0] = '\0';
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        if (doctor_variable(variables[i]) != NULL) {
            used += (size_t)snprintf(names + used, DOCTOR_NAMES - used, "%s%s", count == 0 ? "" : ", ", variables[i]);
            count++;
        }
    }
    return count;
}

static void check_selectors(doctor *d) {
    char   names[DOCTOR_NAMES];
    size_t count = doctor_selected(names);
    if (count > 1) {
        doctor_say(d, "selectors", d->common->store == NULL ? DOCTOR_SETTING : DOCTOR_WARNING,
                   "keep one of them, or name the store: --store URL for a command, a URL in an application",
                   "%s each choose a store", names);
    } else if (count == 1) {
        doctor_say(d, "selectors", DOCTOR_OK, NULL, "%s chooses the store", names);
    } else {
        doctor_say(d, "selectors", DOCTOR_OK, NULL, "no variable chooses a store");
    }
}

/* ---- secrets ---------------------------------------------------------------------------------------------------- */

static void check_key_file(doctor *d, const char *path, const char *key) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    ckit_error           err = CKIT_ERROR_INIT;
    options.key_file = path;
    if (key != NULL || doctor_variable(PREVIOUS_KEYS) != NULL) {
        doctor_say(d, "master-key", DOCTOR_SETTING, "keep one of them", "%s and %s both give keys", MASTER_KEY_FILE,
                   key != NULL ? MASTER_KEY : PREVIOUS_KEYS);
    } else if (ckit_keyring_open(&options, &ring, &err) != CKIT_OK) {
        doctor_say(d, "master-key", DOCTOR_SETTING, "mend the file, or let another one hold the key", "%s: %s (%s)",
                   MASTER_KEY_FILE, err.text, ckit_status_code(err.status));
    } else {
        doctor_say(d, "master-key", DOCTOR_OK, NULL, "%s is set: applications store encrypted values", MASTER_KEY_FILE);
    }
    ckit_keyring_close(ring);
}

/* The previous keys and the deployment, beside a current key that is well formed. */
static void check_ring(doctor *d) {
    ckit_keyring *ring = NULL;
    ckit_error    err = CKIT_ERROR_INIT;
    ckit_status   st = ckit_keyring_from_environment(false, &ring, NULL, &err);
    if (st == CKIT_OK) {
        doctor_say(d, "master-key", DOCTOR_OK, NULL, "%s is set: applications store encrypted values", MASTER_KEY);
    } else {
        doctor_say(d, "master-key", DOCTOR_SETTING, "mend the variable", "%s (%s)", err.text, ckit_status_code(st));
    }
    ckit_keyring_close(ring);
}

/* What is wrong with the keys of the environment has been told. */
static void check_run_key(doctor *d) {
    char        file[RUN_SECRET_PATH];
    ckit_error  err = CKIT_ERROR_INIT;
    bool        given = doctor_variable(MASTER_KEY) != NULL || doctor_variable(MASTER_KEY_FILE) != NULL;
    ckit_status st = run_secret_look(file, &err);
    if (given) {
        if (st == CKIT_OK) {
            doctor_say(d, "run-key", DOCTOR_OK, NULL, "`cachekit run` encrypts with that key too");
        }
    } else if (st == CKIT_MISS) {
        doctor_say(d, "run-key", DOCTOR_OK, NULL, "`cachekit run` encrypts with a key of yours that it will make: %s",
                   file);
    } else if (st == CKIT_OK) {
        doctor_say(d, "run-key", DOCTOR_OK, NULL, "`cachekit run` encrypts with your key in %s", file);
    } else {
        doctor_say(d, "run-key", DOCTOR_SETTING, "mend the file; without it, stored answers are not found any more",
                   "`cachekit run` works without its cache: %s (%s)", err.text, ckit_status_code(st));
    }
}

static void check_master_key(doctor *d) {
    const char *key = doctor_variable(MASTER_KEY);
    for (const char *const *name = secret_variables; *name != NULL; name++) {
        d->secrets = d->secrets || doctor_variable(*name) != NULL;
    }
    if (doctor_variable(MASTER_KEY_FILE) != NULL) {
        check_key_file(d, doctor_variable(MASTER_KEY_FILE), key);
        return;
    }
    if (key == NULL && doctor_variable(PREVIOUS_KEYS) != NULL) {
        doctor_say(d, "master-key", DOCTOR_SETTING, "name the current key too", "%s is set, and %s is not (%s)",
                   PREVIOUS_KEYS, MASTER_KEY, ckit_status_code(CKIT_E_NO_MASTER_KEY));
        return;
    }
    if (key == NULL) {
        doctor_say(d, "master-key", DOCTOR_OK, NULL, "%s is not set: applications store values in the clear",
                   MASTER_KEY);
        return;
    }
    size_t digits = strspn(key, "0123456789abcdefABCDEF");
    if (key[digits] != '\0') {
        doctor_say(d, "master-key", DOCTOR_SETTING, "make one with: cachekit keygen",
                   "%s is not hexadecimal: character %zu is no digit of it (%s)", MASTER_KEY, digits + 1,
                   ckit_status_code(CKIT_E_BAD_MASTER_KEY));
    } else if (digits < MASTER_KEY_DIGITS || digits % 2 != 0) {
        doctor_say(d, "master-key", DOCTOR_SETTING, "make one with: cachekit keygen",
                   "%s has %zu digits, an even number from %d on is needed (%s)", MASTER_KEY, digits, MASTER_KEY_DIGITS,
                   ckit_status_code(CKIT_E_BAD_MASTER_KEY));
    } else {
        check_ring(d);
    }
}

static void check_application(doctor *d) {
    char        names[DOCTOR_NAMES];
    size_t      count = doctor_selected(names);
    const char *refused = count > 1 ? "several variables choose a store"
                          : count == 1 && strcmp(names, DOCTOR_DIRECTORY) != 0 && strcmp(names, DOCTOR_REDIS) != 0
                              ? "this version has no such store"
                          : d->wrong ? "a setting is wrong"
                                     : NULL;
    if (refused != NULL) {
        doctor_say(d, "applications", DOCTOR_WARNING, "let them open a URL, or change the environment",
                   "opened without a URL, a cache is refused: %s", refused);
    } else if (strcmp(names, DOCTOR_DIRECTORY) == 0) {
        doctor_say(d, "applications", DOCTOR_OK, NULL, "opened without a URL, a cache uses files in %s (%s)",
                   d->settings.file_cache_dir, names);
    } else if (count == 1 || doctor_variable("REDIS_URL") != NULL) {
        doctor_say(d, "applications", DOCTOR_OK, NULL,
                   "opened without a URL, a cache uses the Redis of %s, with keys that begin with t:default:",
                   count == 1 ? names : "REDIS_URL");
    } else {
        doctor_say(d, "applications", DOCTOR_OK, NULL,
                   "opened without a URL, a cache uses a Redis on this machine (port 6379) if one answers, and memory "
                   "alone meanwhile");
    }
}

void doctor_check_settings(doctor *d) {
    check_names(d);
    check_values(d);
    show_values(d);
    check_selectors(d);
    check_master_key(d);
    check_run_key(d);
    check_application(d);
}
