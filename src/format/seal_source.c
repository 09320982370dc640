#include "format/seal_source.h"

#include "format/seal_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHERE "key ring"
#define FILE_MAX 65536u
#define USUAL 4096u /* one page: each of secret memory costs a process' start some time */

static ckit_status judge_file(int fd, const char *path, size_t *room, ckit_error *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return ckit_fail_errno(err, CKIT_E_CONFIGURATION, errno, WHERE, "the key file %.300s cannot be read", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "%.300s is no file: keys are read from a regular one", path);
    }
    if (st.st_uid != geteuid() && st.st_uid != 0) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "the key file %.300s belongs to another user", path);
    }
    if ((st.st_mode & 077) != 0) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE,
                         "the key file %.300s is open to others (mode %04o): make it yours alone with chmod 600", path,
                         (unsigned)st.st_mode & 07777u);
    }
    if (st.st_size >= (off_t)FILE_MAX) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, WHERE, "the key file %.300s is longer than %u bytes", path,
                         FILE_MAX);
    }
    *room = st.st_size < (off_t)USUAL ? USUAL : (size_t)st.st_size + 1;
    return CKIT_OK;
}

static ckit_status read_all(int fd, const char *path, char *text, size_t room, ckit_error *err) {
    size_t len = 0;
    while (len < room - 1) {
        ssize_t got = read(fd, text + len, room - 1 - len);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return ckit_fail_errno(err, CKIT_E_CONFIGURATION, errno, WHERE, "the key file %.300s cannot be read", path);
        }
        len += got > 0 ? (size_t)got : 0;
    }
    return memchr(text, '\0', len) == NULL
               ? CKIT_OK
               : ckit_fail(err, CKIT_E_BAD_MASTER_KEY, WHERE, "the key file %.300s holds no text", path);
}

/* Blanks out comments; the first line that is left is the current key, and commas stand between the others. */
static void divide(char *text, const char **current, const char **previous) {
    unsigned lines = 0;
    for (char *line = text; *line != '\0';) {
        char *end = line + strcspn(line, "\r\n");
        bool  more = *end != '\0';
        char *first = line + strspn(line, " \t");
        if (*first == '#' || first == end) {
            memset(line, ' ', (size_t)(end - line));
            *end = more ? ' ' : '\0';
        } else if (lines++ == 0) {
            *current = line;
            *end = '\0';
            *previous = more ? end + 1 : NULL;
        } else {
            *end = more ? ',' : '\0';
        }
        line = more ? end + 1 : end;
    }
}

static ckit_status read_file(ckiti_key_source *source, ckit_keyring_options *options, ckit_error *err) {
    const char *path = options->key_file;
    int         fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return ckit_fail_errno(err, CKIT_E_CONFIGURATION, errno, WHERE, "the key file %.300s cannot be opened", path);
    }
    size_t      room = 0;
    ckit_status st = judge_file(fd, path, &room, err);
    if (st == CKIT_OK && (source->text = ckiti_secret_alloc(room)) == NULL) {
        st = ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for keys");
    }
    st = st == CKIT_OK ? read_all(fd, path, source->text, room, err) : st;
    close(fd);
    if (st == CKIT_OK) {
        divide(source->text, &options->master_key_hex, &options->previous_keys_hex);
        if (options->master_key_hex == NULL) {
            st = ckit_fail(err, CKIT_E_NO_MASTER_KEY, WHERE, "the key file %.300s holds no key", path);
        }
    }
    return st;
}

static ckit_status ask_provider(ckiti_key_source *source, ckit_keyring_options *options, ckit_error *err) {
    ckit_error why = CKIT_ERROR_INIT;
    source->handed = (ckit_keyring_options)CKIT_KEYRING_OPTIONS_INIT;
    source->provider = options->provider;
    ckit_status st = options->provider->fetch(options->provider->self, &source->handed, &why);
    if (st != CKIT_OK) {
        source->provider = NULL;
        return ckit_fail(err, st < CKIT_E_FIRST ? CKIT_E_CONFIGURATION : st, WHERE, "the key provider failed: %s",
                         why.text);
    }
    options->master_key = source->handed.master_key;
    options->previous_keys = source->handed.previous_keys;
    options->previous_count = source->handed.previous_count;
    options->master_key_hex = source->handed.master_key_hex;
    options->previous_keys_hex = source->handed.previous_keys_hex;
    return CKIT_OK;
}

static bool has_keys(const ckit_keyring_options *o) {
    return o->master_key.len > 0 || o->previous_count > 0 || o->master_key_hex != NULL || o->previous_keys_hex != NULL;
}

ckit_status ckiti_key_source_begin(ckiti_key_source *source, ckit_keyring_options *options, ckit_error *err) {
    memset(source, 0, sizeof *source);
    if (options->key_file == NULL && options->provider == NULL) {
        return CKIT_OK;
    }
    if (has_keys(options) || (options->key_file != NULL && options->provider != NULL)) {
        return ckit_fail(err, CKIT_E_MISUSE, WHERE, "keys are given in more than one way");
    }
    return options->key_file != NULL ? read_file(source, options, err) : ask_provider(source, options, err);
}

void ckiti_key_source_end(ckiti_key_source *source) {
    if (source->provider != NULL && source->provider->done != NULL) {
        source->provider->done(source->provider->self, &source->handed);
    }
    ckiti_secret_free(source->text);
    memset(source, 0, sizeof *source);
}
