#include "support/document_json.h"
#include "support/output.h"

#include <cachekit/buf.h>
#include <cachekit/interop.h>
#include <cachekit/key.h>

typedef struct key_options {
    const char *function;
    const char *namespace_name;
    const char *integrity;
    const char *interop;
} key_options;

static const char *const switches[] = {"1", "0", NULL};

static void defaults(void *options) { ((key_options *)options)->integrity = switches[0]; }

/* ---- arguments ---------------------------------------------------------------------------------------------- */

/* The length of a keyword's name in "name=JSON"; 0 for a positional argument. No JSON begins with a name and "=". */
static size_t name_length(const char *operand) {
    size_t length = 0;
    for (uint8_t c; (c = (uint8_t)operand[length]) != 0; length++) {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        if (!letter && (length == 0 || c < '0' || c > '9')) {
            break;
        }
    }
    return operand[length] == '=' ? length : 0;
}

/* As deep as documents go. Failures stay in `args` and in `r`. */
static void add_value(ckit_args *args, ckit_reader *r) {
    ckit_type type = ckit_reader_peek(r);
    uint32_t  values = 0;
    switch (type) {
    case CKIT_TYPE_BOOL: ckit_args_bool(args, ckit_read_bool(r)); break;
    case CKIT_TYPE_INT: ckit_args_int(args, ckit_read_int(r)); break;
    case CKIT_TYPE_UINT: ckit_args_uint(args, ckit_read_uint(r)); break;
    case CKIT_TYPE_DOUBLE: ckit_args_double(args, ckit_read_double(r)); break;
    case CKIT_TYPE_STR: ckit_args_str(args, ckit_read_str(r)); break;
    case CKIT_TYPE_ARRAY: ckit_args_array(args, values = ckit_read_array(r)); break;
    case CKIT_TYPE_MAP:
        values = ckit_read_map(r);
        ckit_args_map(args, values);
        values *= 2;
        break;
    default: /* nil: documents made of JSON hold nothing else */ ckit_read_nil(r); ckit_args_nil(args);
    }
    while (values-- > 0) {
        add_value(args, r);
    }
}

/* CLI_DONE, or an exit code after an error was printed. */
static int add_argument(ckit_args *args, const char *operand, int number) {
    size_t      name = name_length(operand);
    ckit_slice  json = ckit_slice_str(operand + (name > 0 ? name + 1 : 0));
    ckit_buf    document = CKIT_BUF_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_reader r;
    ckit_status st = cli_document_from_json(json, &document, &err);
    if (st == CKIT_OK) {
        if (name > 0) {
            ckit_args_keyword(args, ckit_slice_of(operand, name));
        }
        ckit_reader_init(&r, ckit_buf_slice(&document));
        add_value(args, &r);
    } else if (st == CKIT_E_MISUSE) {
        cli_error("argument %d is %s; text has quotation marks of its own: '\"text\"' (%s)", number, err.text,
                  ckit_status_code(st));
    } else {
        (void)cli_call_failed(st, &err);
    }
    ckit_buf_fini(&document);
    return st == CKIT_OK ? CLI_DONE : st == CKIT_E_NO_MEMORY ? CLI_FAILED : CLI_USAGE;
}

static int add_arguments(ckit_args *args, char **operands, int count) {
    int  code = CLI_DONE;
    bool keywords = false;
    for (int i = 0; code == CLI_DONE && i < count; i++) {
        bool keyword = name_length(operands[i]) > 0;
        if (keywords && !keyword) {
            cli_error("argument %d stands behind a keyword: arguments without a name come first", i + 1);
            return CLI_USAGE;
        }
        keywords = keyword;
        code = add_argument(args, operands[i], i + 1);
    }
    return code;
}

/* ---- the key ------------------------------------------------------------------------------------------------ */

static void print(const cli_common *common, ckit_slice key, ckit_slice hash) {
    if (!common->json) {
        cli_write(key);
        cli_write(ckit_slice_str("\n"));
        return;
    }
    json_object *object = cli_json_object();
    cli_json_add(object, "key", cli_json_bytes(key));
    cli_json_add(object, "arguments_hash", cli_json_bytes(hash));
    cli_print_json(object);
}

/* A long key is shortened and does not show its hash; one of a short name does. */
static int print_key(const cli_common *common, const key_options *o, ckit_args *args) {
    ckit_buf      key = CKIT_BUF_INIT, short_key = CKIT_BUF_INIT;
    ckit_error    err = CKIT_ERROR_INIT;
    ckit_slice    packed;
    ckit_key_spec spec = {.namespace_name = ckit_slice_str(o->namespace_name),
                          .function = ckit_slice_str(o->function),
                          .integrity = *o->integrity == '1'};
    ckit_key_spec short_spec = {.function = ckit_slice_str("f")};
    ckit_status   st = ckit_args_pack(args, &packed, &err);
    if (st == CKIT_OK) {
        st = ckit_key_automatic(&spec, packed, &key, &err);
    }
    if (st == CKIT_OK) {
        st = ckit_key_automatic(&short_spec, packed, &short_key, &err);
    }
    int code = CLI_DONE;
    if (st == CKIT_OK) {
        print(common, ckit_buf_slice(&key), ckit_key_describe(ckit_buf_slice(&short_key)).hash);
    } else {
        (void)cli_call_failed(st, &err);
        code = st == CKIT_E_NO_MEMORY ? CLI_FAILED : CLI_USAGE;
    }
    ckit_buf_fini(&key);
    ckit_buf_fini(&short_key);
    return code;
}

/* ---- the key of interop mode -------------------------------------------------------------------------------- */

/* The documents of all arguments, as one call of the other SDKs. CLI_DONE, or an exit code after an error was
 * printed. */
static int add_shared_arguments(ckit_interop_args *args, char **operands, int count) {
    int code = CLI_DONE;
    for (int i = 0; code == CLI_DONE && i < count; i++) {
        ckit_buf    document = CKIT_BUF_INIT;
        ckit_error  err = CKIT_ERROR_INIT;
        ckit_status st = cli_document_from_json(ckit_slice_str(operands[i]), &document, &err);
        if (name_length(operands[i]) > 0) {
            cli_error("argument %d has a name: keys of interop mode are made of all parameters in their order", i + 1);
            code = CLI_USAGE;
        } else if (st == CKIT_E_MISUSE) {
            cli_error("argument %d is %s; text has quotation marks of its own: '\"text\"' (%s)", i + 1, err.text,
                      ckit_status_code(st));
            code = CLI_USAGE;
        } else if (st != CKIT_OK) {
            (void)cli_call_failed(st, &err);
            code = st == CKIT_E_NO_MEMORY ? CLI_FAILED : CLI_USAGE;
        } else {
            ckit_interop_args_document(args, ckit_buf_slice(&document));
        }
        ckit_buf_fini(&document);
    }
    return code;
}

static int print_shared_key(const cli_common *common, const key_options *o, ckit_interop_args *args) {
    ckit_buf               key = CKIT_BUF_INIT;
    ckit_error             err = CKIT_ERROR_INIT;
    ckit_slice             packed;
    ckit_interop_key_parts parts;
    ckit_status            st = ckit_interop_args_pack(args, &packed, &err);
    if (st == CKIT_OK) {
        st = ckit_interop_key(ckit_slice_str(o->namespace_name), ckit_slice_str(o->interop), packed, &key, &err);
    }
    if (st == CKIT_OK && ckit_interop_key_describe(ckit_buf_slice(&key), &parts)) {
        print(common, ckit_buf_slice(&key), parts.hash);
    } else {
        (void)cli_call_failed(st, &err);
    }
    ckit_buf_fini(&key);
    return st == CKIT_OK ? CLI_DONE : st == CKIT_E_NO_MEMORY ? CLI_FAILED : CLI_USAGE;
}

static int run_shared(const cli_common *common, const key_options *o, char **operands, int count) {
    ckit_interop_args args;
    if (o->function != NULL) {
        cli_error("--interop and --function contradict each other: keys of interop mode name an operation");
        return CLI_USAGE;
    }
    ckit_interop_args_init(&args, NULL);
    int code = add_shared_arguments(&args, operands, count);
    code = code == CLI_DONE ? print_shared_key(common, o, &args) : code;
    ckit_interop_args_fini(&args);
    return code;
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    const key_options *o = options;
    ckit_args          args;
    if (o->interop != NULL) {
        return run_shared(common, o, operands, count);
    }
    if (o->function == NULL || *o->function == '\0') {
        cli_error("key needs --function MODULE.NAME, or --interop OPERATION: see cachekit key --help");
        return CLI_USAGE;
    }
    ckit_args_init(&args);
    int code = add_arguments(&args, operands, count);
    if (code == CLI_DONE) {
        code = print_key(common, o, &args);
    }
    ckit_args_fini(&args);
    return code;
}

static const cli_option options[] = {
    {"function", 'f', CLI_TEXT, "MODULE.NAME", "the function as its program names it, e.g. app.models.get_user",
     CLI_FIELD(key_options, function), NULL},
    {"namespace", 'n', CLI_TEXT, "NAME", "the namespace that its program gives it [none]",
     CLI_FIELD(key_options, namespace_name), NULL},
    {"integrity", 0, CLI_CHOICE, "0|1", "1 for values that are stored with a checksum, 0 for others [1]",
     CLI_FIELD(key_options, integrity), switches},
    {"interop", 0, CLI_TEXT, "OPERATION", "the key of interop mode, which all languages share, instead",
     CLI_FIELD(key_options, interop), NULL},
};

static const cli_example examples[] = {
    {"cachekit key --function app.get_user --namespace users -- 42", "the key of get_user(42)"},
    {"cachekit key --function app.search -- '\"red shoes\"' limit=10 exact=true",
     "the key of search(\"red shoes\", limit=10, exact=True)"},
    {"cachekit delete \"$(cachekit key -f app.get_user -- 42)\" || echo 'was not cached'",
     "forgets the result of one call"},
    {"cachekit key --interop get_user --namespace users -- 42", "what every language calls get_user(42)"},
    {NULL, NULL}};

const cli_command cli_key_command = {
    .name = "key",
    .operands = "-- [ARG]... [NAME=ARG]...",
    .summary = "tell the key of a function call",
    .description =
        "Prints the key under which every CacheKit SDK stores the result of one call of a function that is "
        "told the same name and namespace. No store is opened.\n\n"
        "Every ARG is one JSON text: 42, 1.5, true, null, '\"text\"', '[1, 2]', '{\"a\": 1}'. Text needs "
        "its own quotation marks inside those of the shell. NAME=ARG is a keyword argument; keywords come "
        "last, and their order does not count. 1, 1.0 and true are three different arguments. Arguments "
        "that JSON has no form for (bytes, dates, UUIDs, arrays of numbers) cannot be given.\n\n"
        "With --interop the key is NAMESPACE:OPERATION:HASH, as functions in interop mode have it in every language. "
        "--namespace is needed then, and the arguments are all parameters in the order of their declaration, defaults "
        "included, without names; 1 and 1.0 are one argument, and a UUID is given as its text.\n\n"
        "With --json: {\"key\": ..., \"arguments_hash\": ...}, the hash of the arguments in hexadecimal, also when a "
        "long key was shortened and does not show it.",
    CLI_OPTIONS(options, key_options),
    .examples = examples,
    .traits = CLI_NO_STORE | CLI_NEEDS_DASHES,
    .defaults = defaults,
    .run = run,
};
