#include "command.h"
#include "support/output.h"

#include <cachekit/cachekit.h>

static int run(const cli_common *common, const void *options, char **operands, int count) {
    (void)options, (void)operands, (void)count;
    if (common->json) {
        json_object *answer = cli_json_object();
        cli_json_add(answer, "version", cli_json_text(ckit_version()));
        cli_print_json(answer);
    } else {
        cli_print("cachekit %s\n", ckit_version());
    }
    return CLI_DONE;
}

static const cli_example examples[] = {{"cachekit version", "tells which version this is"}, {NULL, NULL}};

const cli_command cli_version_command = {
    .name = "version",
    .summary = "tell the version",
    .description = "Prints the version of the tool and of the library it is built on.",
    .examples = examples,
    .traits = CLI_NO_STORE,
    .run = run,
};
