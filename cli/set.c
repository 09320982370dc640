#include "run/secret.h"
#include "support/document_json.h"
#include "support/input.h"
#include "support/keys.h"
#include "support/output.h"
#include "support/stored.h"

#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <cachekit/interop.h>
#include <cachekit/key.h>
#include <stdlib.h>
#include <unistd.h>

#define SMALL (UINT64_C(1) << 20) /* values up to here are read before the store is asked for its limit */

typedef struct set_options {
    uint64_t    ttl_ms;
    const char *namespace_name;
    const char *as;
    bool        plain;
} set_options;

static const char *const forms[] = {"raw", "json", "text", "bytes", "interop", NULL};

static void defaults(void *options) {
    set_options *o = options;
    o->ttl_ms = 3600000;
    o->as = forms[0];
}

static bool is(const char *as, const char *form) { return strcmp(as, form) == 0; }

/* ---- reading the value -------------------------------------------------------------------------------------- */

static ckit_status note_limit(void *context, const ckit_stat *stat) {
    uint64_t *limit = context;
    if (!stat->counter && strcmp(stat->name, "limit_bytes") == 0 && stat->value < *limit) {
        *limit = stat->value;
    }
    return CKIT_OK;
}

/* No value can be larger. The store checks its own limit of single values when it gets one. */
static uint64_t limit_of(const cli_store *store) {
    uint64_t limit = CKIT_ENVELOPE_MAX_BYTES;
    int64_t  since;
    if (store->ops->stats != NULL) {
        (void)store->ops->stats(store->self, CKIT_NO_DEADLINE, note_limit, &limit, &since, NULL);
    }
    return limit;
}

/* All of standard input. CLI_DONE, or an exit code after an error was printed. */
static int read_input(const cli_store *store, ckit_buf *value) {
    uint64_t limit = SMALL;
    int      code = cli_read_all(STDIN_FILENO, "standard input", limit, value);
    if (code == CLI_DONE && value->len > limit) {
        limit = limit_of(store);
        code = cli_read_all(STDIN_FILENO, "standard input", limit, value);
    }
    if (code == CLI_DONE && value->len > limit) {
        cli_error("standard input holds more than %llu bytes, the most that the store can take (%s)",
                  (unsigned long long)limit, ckit_status_code(CKIT_E_TOO_LARGE));
        return CLI_FAILED;
    }
    return code;
}

/* ---- making what is stored ---------------------------------------------------------------------------------- */

static ckit_status write_plain(ckit_slice value, bool text, ckit_buf *document, ckit_error *err) {
    ckit_writer w;
    if (text && !ckit_utf8_valid(value)) {
        return ckit_fail(err, CKIT_E_MISUSE, "set",
                         "the value is not UTF-8, so it is no text: store it with --as bytes");
    }
    ckit_writer_init(&w, document);
    if (text) {
        ckit_write_str(&w, value);
    } else {
        ckit_write_bin(&w, value);
    }
    return ckit_writer_finish(&w, err);
}

static ckit_status wrap(ckit_slice value, const char *as, ckit_buf *wrapped, ckit_error *err) {
    ckit_buf    document = CKIT_BUF_INIT;
    bool        shared = is(as, "interop");
    ckit_status st = shared || is(as, "json") ? cli_document_from_json(value, &document, err)
                                              : write_plain(value, is(as, "text"), &document, err);
    if (st == CKIT_OK) {
        st = shared ? ckit_interop_value_normalise(ckit_buf_slice(&document), wrapped, err)
                    : cli_stored_seal(ckit_buf_slice(&document), wrapped, err);
    }
    ckit_buf_fini(&document);
    return st;
}

/* ---- sealing it, as programs in this environment do ---------------------------------------------------------- */

/* A tenant in front of the key is that of calls; a store that has tenants of its own keeps the deployment's values. */
static ckit_status seal_with(ckit_keyring *ring, const char *deployment, const cli_store *store, const char *tenant,
                             const set_options *o, const char *operand, ckit_slice value, ckit_buf *sealed,
                             ckit_error *err) {
    const char *named = getenv("CACHEKIT_DEPLOYMENT_UUID");
    if (is(o->as, "interop") && (named == NULL || *named == '\0')) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, "set",
                         "values that all languages share are encrypted for a deployment that all have named: set "
                         "CACHEKIT_DEPLOYMENT_UUID, or say --plain");
    }
    return run_secret_seal_as_programs(ring, store->prefix.len > 0 ? tenant : deployment, ckit_slice_str(operand),
                                       value, sealed, err);
}

/* `*bytes` becomes what is stored; as it is without a key in the environment. */
static ckit_status seal(const cli_store *store, const char *tenant, const set_options *o, const char *operand,
                        ckit_slice *bytes, ckit_buf *sealed, ckit_error *err) {
    ckit_keyring *ring = NULL;
    char          deployment[CKIT_DEPLOYMENT_TEXT];
    if (o->plain || o->ttl_ms == CKIT_TTL_DO_NOT_STORE) {
        return CKIT_OK;
    }
    ckit_status st = ckit_keyring_from_environment(true, &ring, deployment, err);
    if (st == CKIT_OK) {
        st = seal_with(ring, deployment, store, tenant, o, operand, *bytes, sealed, err);
        *bytes = ckit_buf_slice(sealed);
    }
    ckit_keyring_close(ring);
    return st == CKIT_MISS ? CKIT_OK : st;
}

/* ---- storing it --------------------------------------------------------------------------------------------- */

/* An automatic key tells whose result it holds, so that invalidating the function finds it; so does one of interop
 * mode. */
static ckit_entry_info info_of(const set_options *o, const char *operand) {
    ckit_entry_info        info = {.ttl_ms = o->ttl_ms, .namespace_name = ckit_slice_str(o->namespace_name)};
    ckit_key_parts         parts = ckit_key_describe(ckit_slice_str(operand));
    ckit_interop_key_parts shared;
    if (is(o->as, "interop") && ckit_interop_key_describe(ckit_slice_str(operand), &shared)) {
        info.namespace_name = shared.namespace_name;
        info.function = shared.operation;
        return info;
    }
    if (parts.automatic && o->namespace_name == NULL && parts.namespace_known) {
        info.namespace_name = parts.namespace_name;
    }
    if (parts.automatic && ckit_slice_equal(info.namespace_name, parts.namespace_name)) {
        info.function = parts.function;
    }
    return info;
}

static ckit_status put(const cli_store *store, ckit_slice key, ckit_slice bytes, const ckit_entry_info *info,
                       ckit_error *err) {
    if (info->ttl_ms != CKIT_TTL_DO_NOT_STORE) {
        return store->ops->set(store->self, key, bytes, info, CKIT_NO_DEADLINE, err);
    }
    ckit_status st = store->ops->remove(store->self, key, CKIT_NO_DEADLINE, err);
    return st == CKIT_MISS ? CKIT_OK : st;
}

static void answer(const cli_common *common, const char *operand, size_t size, uint64_t ttl_ms) {
    if (common->json) {
        json_object *object = cli_json_of_key(operand);
        cli_json_add(object, "stored", cli_json_bool(ttl_ms != CKIT_TTL_DO_NOT_STORE));
        cli_json_add(object, "value_size", cli_json_uint(size));
        cli_print_json(object);
    }
}

/* Whoever else looks for such a key looks for it as it is. */
static bool changes_keys(const cli_store *store) {
    return store->ops->key_prefix != NULL && store->ops->key_prefix(store->self).len > 0;
}

static int set(const cli_store *store, const cli_common *common, const set_options *o, char **operands) {
    ckit_buf        key = CKIT_BUF_INIT, input = CKIT_BUF_INIT, wrapped = CKIT_BUF_INIT, sealed = CKIT_BUF_INIT;
    ckit_error      err = CKIT_ERROR_INIT;
    ckit_entry_info info = info_of(o, operands[0]);
    bool            from_input = strcmp(operands[1], "-") == 0;
    int             code = cli_store_key(store, operands[0], &key) ? CLI_DONE : CLI_USAGE;
    if (is(o->as, "interop") && changes_keys(store)) {
        cli_error("--as interop: this store puts a prefix in front of keys, where no other language finds them; name "
                  "one with "
                  "--store that does not");
        code = CLI_USAGE;
    }
    if (code == CLI_DONE && from_input) {
        code = read_input(store, &input);
    }
    if (code == CLI_DONE) {
        ckit_slice  bytes = from_input ? ckit_buf_slice(&input) : ckit_slice_str(operands[1]);
        ckit_status st = is(o->as, "raw") ? CKIT_OK : wrap(bytes, o->as, &wrapped, &err);
        bytes = is(o->as, "raw") ? bytes : ckit_buf_slice(&wrapped);
        st = st == CKIT_OK ? seal(store, common->tenant, o, operands[0], &bytes, &sealed, &err) : st;
        st = st == CKIT_OK ? put(store, ckit_buf_slice(&key), bytes, &info, &err) : st;
        if (st == CKIT_OK) {
            answer(common, operands[0], bytes.len, o->ttl_ms);
        } else {
            code = cli_call_failed(st, &err);
        }
    }
    ckit_buf_fini(&key);
    ckit_buf_fini(&input);
    ckit_buf_fini(&wrapped);
    ckit_buf_fini(&sealed);
    return code;
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    const set_options     *o = options;
    cli_store              store;
    ckit_interop_key_parts shared;
    if (!cli_operands("set", operands, count, 2, 2)) {
        return CLI_USAGE;
    }
    if (is(o->as, "interop") && !ckit_interop_key_describe(ckit_slice_str(operands[0]), &shared)) {
        cli_error("--as interop: a key that all languages share is NAMESPACE:OPERATION:HASH; cachekit key --interop "
                  "makes it");
        return CLI_USAGE;
    }
    if (o->namespace_name != NULL && !ckit_utf8_valid(ckit_slice_str(o->namespace_name))) {
        cli_error("--namespace is not UTF-8");
        return CLI_USAGE;
    }
    int code = cli_store_make(&store, common);
    if (code == CLI_DONE) {
        code = set(&store, common, o, operands);
    }
    cli_store_close(&store);
    return code;
}

static const cli_option options[] = {
    {"ttl", 't', CLI_LIFETIME, "DURATION",
     "the lifetime, e.g. 90s, 1h30m, 7d; none for no expiry; 0 to store nothing and remove an older entry [1h]",
     CLI_FIELD(set_options, ttl_ms), NULL},
    {"namespace", 'n', CLI_TEXT, "NAME", "what the entry belongs to, for ls and invalidate; not part of the key [none]",
     CLI_FIELD(set_options, namespace_name), NULL},
    {"as", 0, CLI_CHOICE, "FORM", "raw, json, text, bytes or interop; see above [raw]", CLI_FIELD(set_options, as),
     forms},
    {"plain", 0, CLI_FLAG, NULL, "store in the clear although there is a master key", CLI_FIELD(set_options, plain),
     NULL},
};

static const cli_exit_row exits[] = {
    {"2", "wrong usage or a wrong setting, or the value is not of the form asked for; nothing was stored"},
    {"4", "the value is larger than the store takes, or standard input cannot be read; an older entry is still there"},
    {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit set greeting hello", "stores five bytes for an hour"},
    {"date | cachekit set started - --ttl none", "stores what comes from standard input until it is removed"},
    {"cachekit set user:42 '{\"name\": \"Alice\"}' --as json --ttl 15m --namespace users",
     "stores a document that every SDK reads"},
    {NULL, NULL}};

const cli_command cli_set_command = {
    .name = "set",
    .operands = "KEY VALUE",
    .summary = "store a value",
    .description =
        "Stores VALUE under KEY and replaces an older entry as one: readers see the old value or the new one. A VALUE "
        "of - is standard input to its end, any bytes; a value that begins with - is written behind --.\n\n"
        " --as raw    the bytes as they are, without compression and checksum: for\n"
        "             scripts. Programs read them as raw entries only\n"
        " --as json   VALUE is a JSON text, and becomes a document that every SDK\n"
        "             reads: compressed and checksummed\n"
        " --as text   a document that is one text\n"
        " --as bytes  a document that is one byte string\n"
        " --as interop  VALUE is a JSON text, and becomes what functions in interop\n"
        "             mode store in every language: one plain MessagePack\n"
        "             document. KEY is one that cachekit key --interop makes\n\n"
        "With CACHEKIT_MASTER_KEY or CACHEKIT_MASTER_KEY_FILE the value is encrypted as programs with these keys "
        "encrypt it, "
        "and they and `get` open it; --plain stores in the clear. A wrong key is refused. --as interop then needs "
        "CACHEKIT_DEPLOYMENT_UUID, which all who share the entry have. Without --ttl an entry lives one hour; ten "
        "years (3650d) are the most. Keys are used as they are, up to 64 KiB; SDKs by default only up to 1024 bytes. "
        "Programs that hold an older value in their own memory may use it until its lifetime ends there.\n\n"
        "Exit code 2: VALUE is not of the form asked for; 4: it is larger than the store takes. After a failure the "
        "older entry is still there.\n\n"
        "Prints nothing but with --json: {\"key\": ..., \"stored\": true, \"value_size\": bytes of the stored value}.",
    CLI_OPTIONS(options, set_options),
    .examples = examples,
    .defaults = defaults,
    .exits = exits,
    .run = run,
};
