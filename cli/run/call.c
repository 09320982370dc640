#include "run/call.h"

#include "run/secret.h"

#include <cachekit/buf.h>
#include <cachekit/key.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STDIN_MAX (UINT64_C(1) << 30) /* it is kept in memory */
#define BLOCK_BYTES 65536

/* ---- content ------------------------------------------------------------------------------------------------ */

/* Hashes what `from` holds to its end and copies it to `to` unless that is -1. */
static ckit_status hash_content(int from, int to, uint8_t hash[32], const char *name, ckit_error *err) {
    crypto_generichash_state state;
    uint8_t                  block[BLOCK_BYTES];
    uint64_t                 total = 0;
    (void)crypto_generichash_init(&state, NULL, 0, 32);
    for (ssize_t got; (got = read(from, block, sizeof block)) != 0;) {
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return ckit_fail_errno(err, CKIT_E_MISUSE, errno, "run", "%.150s cannot be read", name);
        }
        (void)crypto_generichash_update(&state, block, (size_t)got);
        total += (uint64_t)got;
        if (to >= 0 && total > STDIN_MAX) {
            return ckit_fail(err, CKIT_E_MISUSE, "run", "%s is larger than 1G, the most that --stdin keeps", name);
        }
        for (ssize_t done = 0, put; to >= 0 && done < got; done += put) {
            put = write(to, block + done, (size_t)(got - done));
            if (put < 0) {
                return ckit_fail_errno(err, CKIT_E_MISUSE, errno, "run", "%s cannot be kept", name);
            }
        }
    }
    (void)crypto_generichash_final(&state, hash, 32);
    return CKIT_OK;
}

static ckit_status add_stdin(run_call *call, ckit_args *args, ckit_error *err) {
    uint8_t hash[32];
    call->stdin_fd = memfd_create("stdin", MFD_CLOEXEC);
    if (call->stdin_fd < 0) {
        return ckit_fail_errno(err, CKIT_E_MISUSE, errno, "run", "standard input cannot be kept");
    }
    ckit_status st = hash_content(STDIN_FILENO, call->stdin_fd, hash, "standard input", err);
    if (st == CKIT_OK) {
        (void)lseek(call->stdin_fd, 0, SEEK_SET);
        ckit_args_keyword(args, ckit_slice_str("stdin"));
        ckit_args_bytes(args, ckit_slice_of(hash, sizeof hash));
    }
    return st;
}

/* A file that does not exist is a state like any other: nil. */
static ckit_status add_depends(ckit_args *args, const char *path, ckit_error *err) {
    if (*path == '\0') {
        return ckit_fail(err, CKIT_E_MISUSE, "run", "--depends is empty: it names a file");
    }
    uint8_t     hash[32];
    struct stat st;
    ckit_status answer = CKIT_OK;
    int         file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ckit_args_array(args, 2);
    ckit_args_bytes(args, ckit_slice_str(path));
    if (file < 0 && errno == ENOENT) {
        ckit_args_nil(args);
        return CKIT_OK;
    }
    if (file < 0 || fstat(file, &st) != 0) {
        answer = ckit_fail_errno(err, CKIT_E_MISUSE, errno, "run", "--depends %.150s", path);
    } else if (!S_ISREG(st.st_mode)) {
        answer = ckit_fail(err, CKIT_E_MISUSE, "run", "--depends %.150s is no regular file: name the files one by one",
                           path);
    } else {
        answer = hash_content(file, -1, hash, path, err);
    }
    if (answer == CKIT_OK) {
        ckit_args_bytes(args, ckit_slice_of(hash, sizeof hash));
    }
    if (file >= 0) {
        (void)close(file);
    }
    return answer;
}

static ckit_status add_modtime(ckit_args *args, const char *path, ckit_error *err) {
    if (*path == '\0') {
        return ckit_fail(err, CKIT_E_MISUSE, "run", "--modtime is empty: it names a file");
    }
    struct stat st;
    ckit_args_array(args, 3);
    ckit_args_bytes(args, ckit_slice_str(path));
    if (stat(path, &st) == 0) {
        ckit_args_uint(args, (uint64_t)st.st_size);
        /* Nanoseconds; beyond 2262 they wrap around. */
        ckit_args_int(args, (int64_t)((uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec));
        return CKIT_OK;
    }
    if (errno != ENOENT) {
        return ckit_fail_errno(err, CKIT_E_MISUSE, errno, "run", "--modtime %.150s", path);
    }
    ckit_args_nil(args);
    ckit_args_nil(args);
    return CKIT_OK;
}

static ckit_status add_variable(ckit_args *args, const char *name, ckit_error *err) {
    if (*name == '\0' || strchr(name, '=') != NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, "run", "--env \"%.100s\" is no name of a variable: its value is looked up",
                         name);
    }
    const char *value = getenv(name);
    ckit_args_array(args, 2);
    ckit_args_bytes(args, ckit_slice_str(name));
    if (value == NULL) {
        ckit_args_nil(args);
    } else {
        ckit_args_bytes(args, ckit_slice_str(value));
    }
    return CKIT_OK;
}

/* ---- lists -------------------------------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Neither the order nor a repetition counts. Sorts the list in place: nothing else reads its order. */
static ckit_status add_list(ckit_args *args, const char *name, const cli_list *list,
                            ckit_status (*add)(ckit_args *, const char *, ckit_error *), ckit_error *err) {
    uint32_t count = 0;
    if (list->count == 0) {
        return CKIT_OK;
    }
    qsort(list->items, list->count, sizeof *list->items, compare_texts);
    for (size_t i = 0; i < list->count; i++) {
        count += i == 0 || strcmp(list->items[i - 1], list->items[i]) != 0;
    }
    ckit_args_keyword(args, ckit_slice_str(name));
    ckit_args_array(args, count);
    for (size_t i = 0; i < list->count; i++) {
        if (i == 0 || strcmp(list->items[i - 1], list->items[i]) != 0) {
            ckit_status st = add(args, list->items[i], err);
            if (st != CKIT_OK) {
                return st;
            }
        }
    }
    return CKIT_OK;
}

static ckit_status add_cwd(ckit_args *args, ckit_error *err) {
    char *directory = getcwd(NULL, 0);
    if (directory == NULL) {
        return ckit_fail_errno(err, CKIT_E_MISUSE, errno, "run", "--cwd: the working directory has no name");
    }
    ckit_args_keyword(args, ckit_slice_str("cwd"));
    ckit_args_bytes(args, ckit_slice_str(directory));
    free(directory);
    return CKIT_OK;
}

/* ---- the call ----------------------------------------------------------------------------------------------- */

/* Only what was asked for is in it, so that a new option does not rename the answers of older calls. */
static ckit_status pack(run_call *call, ckit_args *args, ckit_error *err) {
    const run_options *options = call->options;
    uint32_t           words = 0;
    while (call->argv[words] != NULL) {
        words++;
    }
    ckit_args_array(args, words);
    for (uint32_t i = 0; i < words; i++) {
        ckit_args_bytes(args, ckit_slice_str(call->argv[i]));
    }
    if (options->scope != NULL) {
        ckit_args_keyword(args, ckit_slice_str("scope"));
        ckit_args_bytes(args, ckit_slice_str(options->scope));
    }
    if (options->tty) {
        ckit_args_keyword(args, ckit_slice_str("tty"));
        ckit_args_bool(args, true);
    }
    ckit_status st = add_list(args, "env", &options->env, add_variable, err);
    if (st == CKIT_OK && options->cwd) {
        st = add_cwd(args, err);
    }
    if (st == CKIT_OK) {
        st = add_list(args, "modtime", &options->modtime, add_modtime, err);
    }
    if (st == CKIT_OK) {
        st = add_list(args, "depends", &options->depends, add_depends, err);
    }
    return st == CKIT_OK && options->with_stdin ? add_stdin(call, args, err) : st;
}

/* A key that cannot be had keeps nobody from running the command. */
static void seal_it(run_call *call) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = run_secret_open(&call->ring, &why);
    if (st == CKIT_OK) {
        st = run_secret_name(call->ring, &call->key, &why);
    }
    why.status = st;
    call->unsealed = why;
}

ckit_status run_call_open(run_call *call, const run_options *options, char **argv, ckit_error *err) {
    ckit_key_spec spec = {.namespace_name = ckit_slice_str(options->namespace_name),
                          .function = ckit_slice_str(RUN_FUNCTION),
                          .integrity = true};
    ckit_args     args;
    ckit_slice    packed;
    *call = (run_call){.options = options, .argv = argv, .stdin_fd = -1};
    ckit_args_init(&args);
    ckit_status st = pack(call, &args, err);
    if (st == CKIT_OK) {
        st = ckit_args_pack(&args, &packed, err);
    }
    if (st == CKIT_OK) {
        st = ckit_key_automatic(&spec, packed, &call->key, err);
    }
    ckit_args_fini(&args);
    if (st == CKIT_OK && !options->plain && options->ttl_ms != CKIT_TTL_DO_NOT_STORE) {
        seal_it(call);
    }
    return st;
}

void run_call_close(run_call *call) {
    ckit_buf_fini(&call->key);
    ckit_keyring_close(call->ring);
    if (call->stdin_fd >= 0) {
        (void)close(call->stdin_fd);
    }
}
