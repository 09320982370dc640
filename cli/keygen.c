#include "command.h"
#include "support/output.h"

#include <cachekit/buf.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_BYTES ((size_t)32)
#define KEY_DIGITS (2 * KEY_BYTES)

typedef struct keygen_options {
    const char *output;
} keygen_options;

static bool make_key(char digits[KEY_DIGITS + 1]) {
    uint8_t key[KEY_BYTES];
    bool    made = getentropy(key, sizeof key) == 0;
    if (made) {
        (void)sodium_bin2hex(digits, KEY_DIGITS + 1, key, sizeof key);
    } else {
        cli_error("the system gives no random bytes: %s", strerror(errno));
    }
    sodium_memzero(key, sizeof key);
    return made;
}

/* ---- to a file ---------------------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t wrote = write(fd, bytes, len);
        if (wrote < 0 && errno != EINTR) {
            return false;
        }
        if (wrote > 0) {
            bytes += wrote;
            len -= (size_t)wrote;
        }
    }
    return true;
}

/* The mode is set once more: the process mask may have taken the owner's rights too. */
static bool fill_file(int fd, const char *digits) {
    return fchmod(fd, 0600) == 0 && write_all(fd, digits, KEY_DIGITS) && write_all(fd, "\n", 1) && fsync(fd) == 0;
}

static int write_file(const char *path, const char *digits) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0 && errno == EEXIST) {
        cli_error("%s exists and stays as it is: a lost key cannot be made again; name another file", path);
        return CLI_FAILED;
    }
    if (fd < 0) {
        cli_error("%s cannot be made: %s", path, strerror(errno));
        return CLI_FAILED;
    }
    bool written = fill_file(fd, digits);
    int  failure = errno;
    if (close(fd) != 0 && written) {
        written = false;
        failure = errno;
    }
    if (!written) {
        (void)unlink(path);
        cli_error("%s cannot be written: %s", path, strerror(failure));
    }
    return written ? CLI_DONE : CLI_FAILED;
}

static void tell_file(const char *path, const cli_common *common) {
    if (common->json) {
        json_object *answer = cli_json_object();
        cli_json_add(answer, "file", cli_json_bytes(ckit_slice_str(path)));
        cli_print_json(answer);
    } else if (!common->quiet) {
        cli_print("a new master key is in ");
        cli_print_escaped(ckit_slice_str(path));
        cli_print(", readable by you alone\n");
    }
}

/* ---- to standard output ------------------------------------------------------------------------------------- */

/* Through a buffer of our own, which is wiped: nothing of the key stays in this process' memory. */
static void print_key(const char *digits, bool json) {
    static char buffer[256];
    (void)setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    cli_print(json ? "{\"key\":\"%s\"}\n" : "%s\n", digits);
    if (fflush(stdout) == 0) {
        sodium_memzero(buffer, sizeof buffer);
    }
    if (isatty(1) == 1) {
        cli_warn("keep it secret; programs take it from CACHEKIT_MASTER_KEY, and what they store is lost without it");
    }
}

static int run(const cli_common *common, const void *given, char **operands, int count) {
    (void)operands, (void)count;
    const keygen_options *options = given;
    char                  digits[KEY_DIGITS + 1] = "";
    if (options->output != NULL && *options->output == '\0') {
        cli_error("--output is empty: it must name a file");
        return CLI_USAGE;
    }
    if (!make_key(digits)) {
        return CLI_FAILED;
    }
    int code = CLI_DONE;
    if (options->output == NULL) {
        print_key(digits, common->json);
    } else {
        code = write_file(options->output, digits);
        if (code == CLI_DONE) {
            tell_file(options->output, common);
        }
    }
    sodium_memzero(digits, sizeof digits);
    return code;
}

static const cli_option options[] = {
    {"output", 'o', CLI_TEXT, "FILE", "write the key to this new file, readable by you alone, not to standard output",
     CLI_FIELD(keygen_options, output), NULL},
};

static const cli_exit_row exits[] = {{"4", "the file exists or cannot be written"}, {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit keygen", "prints a new key"},
    {"cachekit keygen --output master.key", "writes one to a new file with mode 0600"},
    {"cachekit keygen --json", "prints {\"key\": \"...\"}"},
    {NULL, NULL},
};

const cli_command cli_keygen_command = {
    .name = "keygen",
    .summary = "make a new master key for encryption",
    .description = "Prints a new master key: 32 random bytes from the system as 64 hexadecimal digits, the form in "
                   "which every CacheKit SDK takes it from the variable CACHEKIT_MASTER_KEY.\n\n"
                   "With that variable set programs store encrypted values. The file that --output writes can be named "
                   "in CACHEKIT_MASTER_KEY_FILE instead.\n\n"
                   "With --output the key goes to a new file that only you can read (mode 0600) and not to the screen. "
                   "A file that exists, or a symbolic link of that name, is never overwritten: that is exit code 4, as "
                   "is a file that cannot be written. Whoever has the key can read what is encrypted with it, and what "
                   "is encrypted is lost without it.\n\n"
                   "--json answers {\"key\": \"...\"}, and {\"file\": \"...\"} with --output. With --quiet, --output "
                   "says nothing.",
    CLI_OPTIONS(options, keygen_options),
    .examples = examples,
    .traits = CLI_NO_STORE,
    .exits = exits,
    .run = run,
};
