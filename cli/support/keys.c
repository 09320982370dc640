#include "support/keys.h"

#include "support/output.h"

#include <cachekit/buf.h>

bool cli_operands(const char *name, char **operands, int count, int least, int most) {
    if (count < least) {
        cli_error("%s needs %s: see cachekit %s --help", name, cli_command_named(name)->operands, name);
    } else if (count > most) {
        cli_error("%s takes no operand \"%.80s\": see cachekit %s --help", name, operands[most], name);
    }
    return count >= least && count <= most;
}

json_object *cli_json_of_key(const char *operand) {
    json_object *object = cli_json_object();
    cli_json_add(object, "key", cli_json_bytes(ckit_slice_str(operand)));
    return object;
}

int cli_answer_key(const cli_common *common, const char *operand, const char *member, bool yes) {
    if (common->json) {
        json_object *object = cli_json_of_key(operand);
        cli_json_add(object, member, cli_json_bool(yes));
        cli_print_json(object);
    }
    return yes ? CLI_DONE : CLI_ABSENT;
}

int cli_each_key(const cli_common *common, const void *options, char **operands, const char *member, cli_key_fn act) {
    cli_store store;
    ckit_buf  key = CKIT_BUF_INIT;
    int       code = cli_store_open(&store, common);
    for (; code <= CLI_ABSENT && *operands != NULL; operands++) {
        ckit_error err = CKIT_ERROR_INIT;
        if (!cli_store_key(&store, *operands, &key)) {
            code = CLI_USAGE;
            break;
        }
        ckit_status st = act(&store, ckit_buf_slice(&key), options, &err);
        int         one =
            st >= CKIT_E_FIRST ? cli_call_failed(st, &err) : cli_answer_key(common, *operands, member, st == CKIT_OK);
        code = one > code ? one : code;
    }
    ckit_buf_fini(&key);
    cli_store_close(&store);
    return code;
}
