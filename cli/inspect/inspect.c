#include "command.h"
#include "inspect/layers.h"
#include "support/input.h"
#include "support/keys.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/envelope.h>
#include <cachekit/file.h>
#include <cachekit/frame.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The largest envelope with everything that can stand in front of it. */
#define MOST_BYTES ((size_t)CKIT_ENVELOPE_MAX_BYTES + CKIT_FRAME_MAX_HEADER_BYTES + 64)
#define NAME_CHARS 32 /* of a cache file */

typedef struct inspect_options {
    bool key;
    bool file;
    bool full;
} inspect_options;

/* ---- entries of a store ------------------------------------------------------------------------------------- */

/* The name of the key's file in a file store: see cachekit/file.h. */
static void file_name_of(ckit_slice key, char name[NAME_CHARS + 1]) {
    uint8_t hash[NAME_CHARS / 2];
    (void)crypto_generichash(hash, sizeof hash, key.ptr, key.len, NULL, 0);
    (void)sodium_bin2hex(name, NAME_CHARS + 1, hash, sizeof hash);
}

static void tell_key(inspect_report *report, const char *operand, const cli_store *store, ckit_slice stored_key) {
    char       text[INSPECT_TEXT], name[NAME_CHARS + 1];
    ckit_slice key = ckit_slice_str(operand);
    inspect_fact(report, "key", cli_json_bytes(key), "%s", inspect_quoted(key, text));
    if (store->prefix.len > 0) {
        inspect_fact(report, "stored_key", cli_json_bytes(stored_key), "%s", inspect_quoted(stored_key, text));
    }
    inspect_key(report, stored_key);
    inspect_fact(report, "store", cli_json_bytes(ckit_slice_str(store->url)), "%s (%s)",
                 inspect_quoted(ckit_slice_str(store->url), text), store->reason);
    inspect_silent_fact(report, "backend", cli_json_text(ckit_backend_name(store->backend)));
    if (strcmp(ckit_backend_name(store->backend), "file") == 0) {
        file_name_of(stored_key, name);
        inspect_fact(report, "name", cli_json_text(name), "%s", name);
    }
}

static void tell_absent(inspect_report *report, const char *operand) {
    report->verdict = INSPECT_ABSENT;
    if (access(operand, F_OK) == 0) {
        inspect_note(report, "there is a file of this name: with --file it is inspected");
    }
}

static void inspect_stored(inspect_report *report, ckit_slice value, uint64_t life) {
    char         text[CLI_UNITS_TEXT];
    inspect_part part = {value, 0, NULL, NULL};
    report->whole = value;
    inspect_fact(report, "life", cli_json_life(life), "%s, by the store", cli_life_text(life, text));
    inspect_silent_fact(report, "life_from", cli_json_text("store"));
    inspect_fact(report, "value_size", cli_json_uint(value.len), "%zu bytes", value.len);
    inspect_value(report, &part, inspect_tell_form(report, value));
}

static int inspect_entry(inspect_report *report, const cli_common *common, const char *operand) {
    cli_store  store;
    ckit_buf   key = CKIT_BUF_INIT, value = CKIT_BUF_INIT;
    uint64_t   life = CKIT_LIFE_UNKNOWN;
    ckit_error err = CKIT_ERROR_INIT;
    int        code = cli_store_open(&store, common);
    if (code == CLI_DONE) {
        code = cli_store_key(&store, operand, &key) ? CLI_DONE : CLI_USAGE;
    }
    if (code == CLI_DONE) {
        ckit_status st = store.ops->get(store.self, ckit_buf_slice(&key), CKIT_NO_DEADLINE, &value, &life, &err);
        if (st != CKIT_OK && st != CKIT_MISS) {
            code = cli_call_failed(st, &err);
        } else {
            tell_key(report, operand, &store, ckit_buf_slice(&key));
            if (st == CKIT_OK) {
                inspect_stored(report, ckit_buf_slice(&value), life);
            } else {
                tell_absent(report, operand);
            }
            code = inspect_end(report);
        }
    }
    ckit_buf_fini(&key);
    ckit_buf_fini(&value);
    cli_store_close(&store);
    return code;
}

/* ---- files -------------------------------------------------------------------------------------------------- */

static int refuse_size(const char *name) {
    cli_error("%s is larger than any value: more than %zu bytes", name, MOST_BYTES);
    return CLI_FAILED;
}

/* Everything up to the end, but never more than a value can have. */
static int read_value(int fd, const char *name, ckit_buf *out) {
    int code = cli_read_all(fd, name, MOST_BYTES, out);
    return code == CLI_DONE && out->len > MOST_BYTES ? refuse_size(name) : code;
}

/* CLI_ABSENT when there is no such file, without a word. Opening must not wait, as it would for a FIFO. */
static int read_file(const char *path, ckit_buf *out) {
    struct stat info;
    int         code;
    int         fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return CLI_ABSENT;
    }
    if (fd < 0 || fstat(fd, &info) != 0) {
        cli_error("%s cannot be opened: %s", path, strerror(errno));
        code = CLI_FAILED;
    } else if (!S_ISREG(info.st_mode)) {
        cli_error("%s is %s, not a file: name one file, or - for standard input", path,
                  S_ISDIR(info.st_mode) ? "a directory" : "a device or a pipe");
        code = CLI_USAGE;
    } else if ((uint64_t)info.st_size > MOST_BYTES) {
        code = refuse_size(path);
    } else {
        code = read_value(fd, path, out);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return code;
}

static const char *name_in(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool is_entry_name(const char *name) {
    return strlen(name) == NAME_CHARS && strspn(name, "0123456789abcdef") == NAME_CHARS;
}

/* What a listing looks for. */
typedef struct wanted {
    const char *name;
    ckit_buf   *key;
} wanted;

/* A file's name is a hash of its key: so the index is not just believed. */
static ckit_status match_entry(void *context, const ckit_listed *entry) {
    const wanted *w = context;
    char          name[NAME_CHARS + 1];
    if (entry->key.len == 0) {
        return CKIT_OK;
    }
    file_name_of(entry->key, name);
    return strcmp(name, w->name) != 0                       ? CKIT_OK
           : ckit_buf_append(w->key, entry->key) == CKIT_OK ? CKIT_MISS
                                                            : CKIT_E_NO_MEMORY;
}

static void find_in(ckit_backend *backend, const char *name, ckit_buf *key) {
    const ckit_backend_ops *ops = ckit_backend_operations(backend);
    const ckit_scope        all = {.kind = CKIT_SCOPE_ALL};
    wanted                  w = {name, key};
    if (ops->list != NULL) {
        (void)ops->list(ckit_backend_self(backend), &all, CKIT_NO_DEADLINE, match_entry, &w, NULL);
    }
}

/* The directory of a file when it is a store's: nothing is made in others. */
static bool store_directory(const char *path, char directory[PATH_MAX]) {
    char   index[PATH_MAX + 16];
    size_t length = (size_t)(name_in(path) - path);
    if (length >= PATH_MAX) {
        return false;
    }
    (void)snprintf(directory, PATH_MAX, "%.*s", length == 0 ? 1 : (int)length, length == 0 ? "." : path);
    (void)snprintf(index, sizeof index, "%s/.ck-index", directory);
    return access(index, F_OK) == 0;
}

/* The key of a cache file, from the store that --store names, else from the one in whose directory it lies. */
static int find_key(const cli_common *common, const char *path, ckit_buf *key) {
    char        found[PATH_MAX], directory[PATH_MAX];
    const char *name = name_in(path);
    cli_store   store = {.backend = NULL};
    int         code = CLI_DONE;
    if (!is_entry_name(name)) {
        return CLI_DONE;
    }
    if (common->store != NULL) {
        code = cli_store_open(&store, common);
        if (code == CLI_DONE) {
            find_in(store.backend, name, key);
        }
        cli_store_close(&store);
    } else if (store_directory(path, found) && realpath(found, directory) != NULL) {
        ckit_file_options options = CKIT_FILE_OPTIONS_INIT;
        ckit_backend     *backend = NULL;
        options.directory = directory;
        if (ckit_file_open(&options, NULL, &backend, NULL) == CKIT_OK) {
            find_in(backend, name, key);
        }
        ckit_backend_close(backend);
    }
    return code;
}

/* `name` is the file's, NULL for standard input. A file that has the name of a cache file must have its header. */
static void inspect_bytes_of(inspect_report *report, ckit_slice bytes, const char *name, ckit_slice key) {
    char         text[INSPECT_TEXT];
    inspect_part whole = {bytes, 0, NULL, NULL};
    inspect_part value = whole;
    bool has_header = (bytes.len >= 3 && memcmp(bytes.ptr, "CK\x01", 3) == 0) || (name != NULL && is_entry_name(name));
    report->whole = bytes;
    inspect_fact(report, "size", cli_json_uint(bytes.len), "%zu bytes", bytes.len);
    if (has_header && key.len > 0) {
        inspect_fact(report, "key", cli_json_bytes(key), "%s", inspect_quoted(key, text));
        inspect_key(report, key);
    } else if (has_header) {
        inspect_fact(report, "key", NULL, "unknown: no store lists a live entry of this file's name");
    }
    if (!has_header) {
        inspect_fact(report, "life", cli_json_text("unknown"), "unknown: a value by itself does not tell it");
        inspect_value(report, &value, inspect_tell_form(report, bytes));
        return;
    }
    inspect_file_life(report, bytes);
    if (bytes.len < INSPECT_FILE_HEADER) {
        inspect_file_header(report, &whole);
        return;
    }
    value = inspect_sub(&whole, INSPECT_FILE_HEADER, bytes.len - INSPECT_FILE_HEADER);
    inspect_form form = inspect_tell_form(report, value.bytes);
    inspect_file_header(report, &whole);
    inspect_value(report, &value, form);
}

static int inspect_file(inspect_report *report, const cli_common *common, const char *path) {
    ckit_buf bytes = CKIT_BUF_INIT, key = CKIT_BUF_INIT;
    char     text[INSPECT_TEXT];
    bool     standard_input = strcmp(path, "-") == 0;
    int      code = standard_input ? read_value(0, "standard input", &bytes) : read_file(path, &bytes);
    if (code == CLI_DONE && !standard_input) {
        code = find_key(common, path, &key);
    }
    if (code == CLI_DONE || code == CLI_ABSENT) {
        ckit_slice shown = ckit_slice_str(standard_input ? "standard input" : path);
        inspect_fact(report, "file", standard_input ? NULL : cli_json_bytes(shown), "%s",
                     standard_input ? "standard input" : inspect_quoted(shown, text));
        report->absent = "there is no such file";
        if (code == CLI_DONE) {
            inspect_bytes_of(report, ckit_buf_slice(&bytes), standard_input ? NULL : name_in(path),
                             ckit_buf_slice(&key));
        } else {
            report->verdict = INSPECT_ABSENT;
        }
        code = inspect_end(report);
    }
    ckit_buf_fini(&bytes);
    ckit_buf_fini(&key);
    return code;
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static bool names_a_file(const char *operand) {
    return strcmp(operand, "-") == 0 || operand[0] == '/' || strncmp(operand, "./", 2) == 0 ||
           strncmp(operand, "../", 3) == 0;
}

static int run(const cli_common *common, const void *given, char **operands, int count) {
    const inspect_options *options = given;
    inspect_report         report;
    if (!cli_operands("inspect", operands, count, 1, 1)) {
        return CLI_USAGE;
    }
    if (options->key && options->file) {
        cli_error("--key and --file exclude each other");
        return CLI_USAGE;
    }
    bool file = options->file || (!options->key && names_a_file(operands[0]));
    if (file && common->tenant != NULL) {
        cli_error("--tenant has no meaning for a file: a file holds one entry, whoever it belongs to");
        return CLI_USAGE;
    }
    inspect_begin(&report, common->json, options->full);
    int code = file ? inspect_file(&report, common, operands[0]) : inspect_entry(&report, common, operands[0]);
    inspect_report_free(&report);
    return code;
}

static const cli_option options[] = {
    {"key", 0, CLI_FLAG, NULL, "the operand is a key, however it looks", CLI_FIELD(inspect_options, key), NULL},
    {"file", 0, CLI_FLAG, NULL, "the operand is a file (- is standard input)", CLI_FIELD(inspect_options, file), NULL},
    {"full", 0, CLI_FLAG, NULL, "show documents and texts whole [their first 64 KiB]", CLI_FIELD(inspect_options, full),
     NULL},
};

static const cli_exit_row exits[] = {{"0", "nothing is damaged"},
                                     {"1", "there is no such entry or file"},
                                     {"4", "something is damaged, or cannot be read"},
                                     {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit set --as json user:1 '{\"name\": \"Alice\"}' && cachekit inspect user:1",
     "explains an entry, layer by layer"},
    {"cachekit get --as raw user:1 | cachekit inspect -", "explains bytes from anywhere"},
    {"cachekit get --as raw user:1 > value.bin; cachekit inspect --json ./value.bin",
     "the same of a file, for a program"},
    {NULL, NULL},
};

const cli_command cli_inspect_command = {
    .name = "inspect",
    .operands = "KEY|FILE|-",
    .summary = "explain a stored value layer by layer",
    .description =
        "Takes the stored bytes of one entry apart and shows every layer: the header of a cache file, the frame, "
        "encryption, the envelope with its compression and checksum, and the document as JSON; with sizes, offsets, "
        "the remaining life and the parts of the key. No value is changed.\n\n"
        "An operand that begins with /, ./ or ../ is a file, - is standard input, and everything else is a key, "
        "whatever files there are; --key and --file say it outright. A file is one of a file store (the key is told "
        "when that store lists it) or holds a stored value as `cachekit get --as raw` gives it.\n\n"
        "Where something is damaged, it says at which byte, in which layer, what was expected and what was found. "
        "Offsets count from 0, from the first byte of the stored value or of the file; for unpacked content the packed "
        "byte that it was made from is told as well. Checked are all lengths, the checksum, and the document to its "
        "end.\n\n"
        "Bytes that are no form of CacheKit's are shown as text, as JSON or as their first 64 bytes in hexadecimal, "
        "and are not called damaged: the store holds whatever programs put into it. An encrypted value is sound as far "
        "as can be seen without its key; cachekit get opens it. A file that has expired is explained like any other, "
        "and said to "
        "have expired.\n\n"
        "Exit codes: 0 when nothing is damaged, 1 when there is no such entry or file, 4 when something is damaged (or "
        "cannot be read), 2 for a directory, a device or a pipe in place of a file.\n\n"
        "--json answers one object: facts about the whole, \"layers\" from the outside to the inside, \"damage\" (an "
        "array with layer, offset, offset_in_layer, problem, expected, found; offset is null for bytes that stand "
        "nowhere in the value) and \"verdict\": readable, sealed, unknown, absent or damaged. The document is the "
        "member \"value\" of its layer, unless it is larger than 64 KiB and --full is not given.",
    CLI_OPTIONS(options, inspect_options),
    .examples = examples,
    .traits = CLI_COLOURS,
    .exits = exits,
    .run = run,
};
