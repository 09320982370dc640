#include "run/secret.h"
#include "support/document_json.h"
#include "support/keys.h"
#include "support/output.h"
#include "support/stored.h"

#include <cachekit/buf.h>
#include <cachekit/document.h>
#include <cachekit/interop.h>
#include <cachekit/msgpack.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct get_options {
    const char *as;
} get_options;

static const char *const forms[] = {"value", "raw", "json", "hex", NULL};

static void defaults(void *options) { ((get_options *)options)->as = forms[0]; }

static bool is(const char *as, const char *form) { return strcmp(as, form) == 0; }

/* What is shown of an entry. */
typedef struct shown {
    cli_stored  stored;
    ckit_buf    bytes; /* storage of `content` where it is not the entry's own */
    ckit_slice  content;
    bool        is_json; /* `content` is one JSON text, else it is bytes */
    const char *form;
    ckit_buf    clear;         /* what a sealed value opens to */
    bool        may_be_sealed; /* bare bytes, and there is no key that could tell */
} shown;

/* ---- what to show ------------------------------------------------------------------------------------------- */

/* `bytes` becomes what is shown, in place of what it was made from. */
static void take_bytes(shown *s, ckit_buf bytes) {
    ckit_buf_fini(&s->bytes);
    s->bytes = bytes;
    s->content = ckit_buf_slice(&s->bytes);
}

static ckit_status show_json(shown *s, bool pretty, ckit_error *err) {
    ckit_buf    text = CKIT_BUF_INIT;
    ckit_status st = cli_stored_to_json(&s->stored, pretty, &text, err);
    take_bytes(s, text);
    s->is_json = true;
    return st;
}

/* The text or the bytes that a document is; false, and `content` is as before, when it is something else. */
static bool plain_document(ckit_slice document, ckit_slice *content) {
    ckit_slice inside;
    if (ckit_document_str(document, &inside, NULL) != CKIT_OK &&
        ckit_document_bin(document, &inside, NULL) != CKIT_OK) {
        return false;
    }
    *content = inside;
    return true;
}

/* `whole`: documents that are neither text nor bytes as their own bytes instead of JSON. */
static ckit_status show_value(shown *s, bool whole, bool pretty, ckit_error *err) {
    s->content = s->stored.content;
    if (s->stored.form == CLI_FORM_JSON) {
        ckit_status st = cli_document_from_json(s->stored.content, &s->bytes, err);
        if (st != CKIT_OK) {
            return st;
        }
        s->content = ckit_buf_slice(&s->bytes);
    } else if (!cli_stored_is_document(&s->stored)) {
        return CKIT_OK;
    }
    if (plain_document(s->content, &s->content) || whole) {
        return CKIT_OK;
    }
    ckit_buf    text = CKIT_BUF_INIT;
    ckit_status st = cli_document_to_json(s->content, pretty, &text, err);
    take_bytes(s, text);
    s->is_json = true;
    return st;
}

/* What lies bare under a key of interop mode is a document, where it is one. */
static void take_shared(shown *s, const char *operand) {
    ckit_interop_key_parts parts;
    if (s->stored.form == CLI_FORM_RAW && ckit_interop_key_describe(ckit_slice_str(operand), &parts) &&
        ckit_interop_value_accept(s->stored.content, NULL) == CKIT_OK) {
        s->stored.form = CLI_FORM_DOCUMENT;
    }
}

/* What lies bare may have been sealed bare: then what it opens to takes its place. Nothing tells sealed bytes from
 * others, so keys that cannot be used are a failure, and what they do not open is shown as it lies there. */
static ckit_status open_bare(shown *s, const char *tenant, const char *operand, ckit_slice stored, ckit_error *err) {
    if (s->stored.form != CLI_FORM_RAW) {
        return CKIT_OK;
    }
    ckit_status st = run_secret_reveal_bare(tenant, ckit_slice_str(operand), stored, &s->clear, err);
    const bool  is_text = ckit_utf8_valid(stored);
    if (st == CKIT_E_AUTH_TAG && !is_text) {
        cli_warn("the master key here does not open the value: shown is what is stored, which may be sealed with "
                 "another key, or for another tenant or deployment");
    }
    s->may_be_sealed = st == CKIT_MISS && !is_text && stored.len >= CKIT_SEAL_OVERHEAD;
    if (st == CKIT_MISS || st == CKIT_E_AUTH_TAG) {
        return CKIT_OK;
    }
    if (st != CKIT_OK) {
        return st;
    }
    cli_stored_fini(&s->stored);
    s->stored = (cli_stored){.framed = false};
    st = cli_stored_open(ckit_buf_slice(&s->clear), &s->stored, err);
    if (st == CKIT_OK) {
        take_shared(s, operand);
    }
    return st;
}

/* `tenant`: whose key it is, NULL for the deployment's; `asked_for`: the tenant of the command line. */
static ckit_status show(shown *s, const char *tenant, const char *asked_for, const char *operand, ckit_slice stored,
                        const char *as, bool pretty, ckit_error *err) {
    ckit_status st = cli_stored_open(stored, &s->stored, is(as, "raw") ? NULL : err);
    if (st == CKIT_OK) {
        take_shared(s, operand);
    }
    if (st == CKIT_OK && !is(as, "raw")) {
        st = open_bare(s, tenant, operand, stored, err);
    }
    s->form = st == CKIT_OK ? cli_form_name(s->stored.form) : "damaged";
    if (is(as, "raw")) {
        s->content = stored;
        return CKIT_OK;
    }
    if (st == CKIT_OK && s->stored.form == CLI_FORM_ENCRYPTED) {
        st = run_secret_reveal(asked_for, ckit_slice_str(operand), stored, &s->clear, err);
        if (st != CKIT_OK) {
            return st;
        }
        cli_stored_fini(&s->stored);
        s->stored = (cli_stored){.framed = false};
        st = cli_stored_open(ckit_buf_slice(&s->clear), &s->stored, err);
    }
    if (st == CKIT_OK && is(as, "json")) {
        st = cli_stored_open_bare(&s->stored, err);
        s->form = cli_form_name(s->stored.form);
        return st == CKIT_OK ? show_json(s, pretty, err) : st;
    }
    return st == CKIT_OK ? show_value(s, is(as, "hex"), pretty, err) : st;
}

/* ---- showing it --------------------------------------------------------------------------------------------- */

static ckit_status to_hex(shown *s, ckit_error *err) {
    ckit_buf text = CKIT_BUF_INIT;
    if (ckit_buf_reserve_exact(&text, s->content.len * 2 + 1) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "get", "no memory for %zu bytes as hexadecimal", s->content.len);
    }
    (void)sodium_bin2hex((char *)text.ptr, s->content.len * 2 + 1, s->content.ptr, s->content.len);
    text.len = s->content.len * 2;
    take_bytes(s, text);
    return CKIT_OK;
}

static void print_plain(const shown *s, bool is_text) {
    bool open_line = s->content.len == 0 || s->content.ptr[s->content.len - 1] != '\n';
    cli_write(s->content);
    if (is_text || (open_line && isatty(1) == 1)) {
        cli_write(ckit_slice_str("\n"));
    }
}

/* The value is text already, perhaps a long one, so it is not put into a tree of the JSON library again. */
static void print_object(const shown *s, const char *operand, size_t size, uint64_t life_ms) {
    json_object *object = cli_json_of_key(operand);
    cli_json_add(object, "found", cli_json_bool(true));
    cli_json_add(object, "form", cli_json_text(s->form));
    cli_json_add(object, "value_size", cli_json_uint(size));
    cli_json_add(object, "life", cli_json_life(life_ms));
    if (!s->is_json) {
        cli_json_add(object, "value", cli_json_bytes(s->content));
        cli_print_json(object);
        return;
    }
    const char *text = cli_json_line(object);
    cli_write(ckit_slice_of(text, strlen(text) - 1));
    cli_write(ckit_slice_str(",\"value\":"));
    cli_write(s->content);
    cli_write(ckit_slice_str("}\n"));
    json_object_put(object);
}

/* Whether it is the entry that is damaged, and not only of another form than the one asked for. */
static bool is_damaged(const shown *s, ckit_slice stored, ckit_status st) {
    return ckit_status_kind(st) == CKIT_KIND_CORRUPT &&
           (strcmp(s->form, "damaged") == 0 || s->stored.framed || cli_stored_was_envelope(stored));
}

/* Bytes that were read as something else, or not at all, speak for themselves. */
static void warn_of_sealed(const shown *s) {
    if (s->may_be_sealed && s->stored.form == CLI_FORM_RAW) {
        cli_warn("shown is what is stored, which is no text and may be sealed: with its master key in "
                 "CACHEKIT_MASTER_KEY or CACHEKIT_MASTER_KEY_FILE it would be opened");
    }
}

static int answer_hit(const cli_common *common, const char *tenant, const char *as, const char *operand,
                      ckit_slice stored, uint64_t life_ms) {
    shown       s = {.form = NULL};
    ckit_error  err = CKIT_ERROR_INIT;
    int         code = CLI_DONE;
    ckit_status st = show(&s, tenant, common->tenant, operand, stored, as, !common->json && isatty(1) == 1, &err);
    if (st == CKIT_OK && is(as, "hex")) {
        st = to_hex(&s, &err);
    }
    if (is_damaged(&s, stored, st)) {
        cli_error("the entry of %.80s is damaged: %s (%s); see cachekit inspect %.80s", operand, err.text,
                  ckit_status_code(st), operand);
        code = CLI_FAILED;
    } else if (st != CKIT_OK) {
        code = cli_call_failed(st, &err) == CLI_USAGE ? CLI_USAGE : CLI_FAILED; /* it was read: no fault of the store */
    } else {
        warn_of_sealed(&s);
    }
    if (code == CLI_DONE && common->json) {
        print_object(&s, operand, stored.len, life_ms);
    } else if (code == CLI_DONE) {
        print_plain(&s, s.is_json || is(as, "hex"));
    }
    cli_stored_fini(&s.stored);
    if (s.clear.ptr != NULL) {
        sodium_memzero(s.clear.ptr, s.clear.cap);
    }
    ckit_buf_fini(&s.clear);
    ckit_buf_fini(&s.bytes);
    return code;
}

static int get(const cli_store *store, const cli_common *common, const char *as, const char *operand) {
    ckit_buf key = CKIT_BUF_INIT, stored = CKIT_BUF_INIT;
    int      code = CLI_USAGE;
    if (cli_store_key(store, operand, &key)) {
        ckit_error  err = CKIT_ERROR_INIT;
        uint64_t    life_ms = CKIT_LIFE_UNKNOWN;
        ckit_status st = store->ops->get(store->self, ckit_buf_slice(&key), CKIT_NO_DEADLINE, &stored, &life_ms, &err);
        code = st >= CKIT_E_FIRST ? cli_call_failed(st, &err)
               : st == CKIT_OK    ? answer_hit(common, store->prefix.len > 0 ? common->tenant : NULL, as, operand,
                                               ckit_buf_slice(&stored), life_ms)
                                  : cli_answer_key(common, operand, "found", false);
    }
    ckit_buf_fini(&key);
    ckit_buf_fini(&stored);
    return code;
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    cli_store store;
    if (!cli_operands("get", operands, count, 1, 1)) {
        return CLI_USAGE;
    }
    int code = cli_store_open(&store, common);
    if (code == CLI_DONE) {
        code = get(&store, common, ((const get_options *)options)->as, operands[0]);
    }
    cli_store_close(&store);
    return code;
}

static const cli_option options[] = {
    {"as", 0, CLI_CHOICE, "FORM", "value, raw, json or hex; see above [value]", CLI_FIELD(get_options, as), forms},
};

static const cli_exit_row exits[] = {
    {"1", "a miss: no such entry"},
    {"4", "the value is damaged or encrypted, or not of the form asked for; or output cannot be written"},
    {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit set greeting hello && cachekit get greeting", "prints hello"},
    {"cachekit set user '{\"name\": \"Alice\"}' --as json && cachekit get user --json",
     "the value with its size and its remaining life, for programs"},
    {"cachekit get report || echo none", "does something else when there is no entry"},
    {NULL, NULL}};

const cli_command cli_get_command = {
    .name = "get",
    .operands = "KEY",
    .summary = "print the value of an entry",
    .description =
        "Prints the value of the entry of KEY. When there is none, or its lifetime has passed, the exit code is 1 and "
        "nothing is printed. Encrypted values are opened with the keys of CACHEKIT_MASTER_KEY or "
        "CACHEKIT_MASTER_KEY_FILE, and with the key of `run`; what is no key is refused. Exit code 4: the value is "
        "damaged, no key opens it, it "
        "was moved here from another key or tenant, or it is not of the form asked for. What --as raw has sealed looks "
        "like any bytes: without its key they are shown as they are, with a warning.\n\n"
        " --as value  text and bytes exactly as they are; another document (what SDKs\n"
        "             store) as JSON; anything else as it lies in the store.\n"
        "             Under a key of interop mode bare MessagePack is a document\n"
        " --as raw    what lies in the store, byte for byte, readable or not\n"
        " --as json   the value as JSON. One that was stored without any wrapping is\n"
        "             tried as JSON text, as an envelope, and as MessagePack\n"
        " --as hex    the value's bytes in hexadecimal; a document's MessagePack\n\n"
        "No line end is added to text and bytes but on a terminal, so binary values survive redirection. JSON and "
        "hexadecimal are one line; on a terminal JSON is indented. In JSON, bytes are {\"__bytes__\": \"base64\"}.\n\n"
        "With --json the answer is one object: key, found, form, value_size (bytes of the stored value), life "
        "(seconds; null "
        "without expiry) and value: JSON for a document, else a string, or {\"base64\": ...} for bytes that are not "
        "UTF-8. A miss is {\"key\": ..., \"found\": false}.",
    CLI_OPTIONS(options, get_options),
    .examples = examples,
    .defaults = defaults,
    .exits = exits,
    .run = run,
};
