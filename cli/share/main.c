/* Writes what is installed beside the tool, from the tables of its commands.
 *
 *     cachekit_share DIRECTORY     man/man1/ *.1 and the scripts of completion, as in /usr/share
 *     cachekit_share --examples    the examples of all commands for the tests: "COMMAND<TAB>LINE"
 *     cachekit_share --tables      names of commands and options: "COMMAND<TAB>--OPTION" */
#include "completion/completion.h"
#include "page.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096

static int complain(const char *path) {
    (void)fprintf(stderr, "cachekit_share: %s: %s\n", path, strerror(errno));
    return 1;
}

/* Opens directory/name for writing and makes the directories above it. */
static FILE *create(const char *directory, const char *name, char path[PATH_BYTES]) {
    (void)snprintf(path, PATH_BYTES, "%s/%s", directory, name);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            return NULL;
        }
        *slash = '/';
    }
    return fopen(path, "w");
}

static int finish(FILE *out, const char *path) {
    bool failed = ferror(out) != 0;
    return fclose(out) != 0 || failed ? complain(path) : 0;
}

static int write_scripts(const char *directory) {
    static const struct script {
        const char *name;
        void (*print)(FILE *out);
    } scripts[] = {{"bash-completion/completions/cachekit", cli_completion_bash},
                   {"zsh/site-functions/_cachekit", cli_completion_zsh},
                   {"fish/vendor_completions.d/cachekit.fish", cli_completion_fish},
                   {"man/man1/cachekit.1", page_overview}};
    char path[PATH_BYTES];
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        FILE *out = create(directory, scripts[i].name, path);
        if (out == NULL) {
            return complain(path);
        }
        scripts[i].print(out);
        if (finish(out, path) != 0) {
            return 1;
        }
    }
    return 0;
}

static int write_pages(const char *directory) {
    char               path[PATH_BYTES];
    char               name[80];
    const cli_command *command;
    for (size_t i = 0; (command = cli_commands[i]) != NULL; i++) {
        (void)snprintf(name, sizeof name, "man/man1/cachekit-%s.1", command->name);
        FILE *out = create(directory, name, path);
        if (out == NULL) {
            return complain(path);
        }
        page_command(command, out);
        if (finish(out, path) != 0) {
            return 1;
        }
    }
    return 0;
}

static int list_examples(void) {
    const cli_command *command;
    for (size_t i = 0; (command = cli_commands[i]) != NULL; i++) {
        for (const cli_example *example = command->examples; example != NULL && example->line != NULL; example++) {
            (void)printf("%s\t%s\n", command->name, example->line);
        }
    }
    return finish(stdout, "standard output");
}

static int list_options(void) {
    const cli_command *command;
    const cli_option  *option;
    for (size_t i = 0; (command = cli_commands[i]) != NULL; i++) {
        for (size_t k = 0; (option = cli_option_of(command, k)) != NULL; k++) {
            (void)printf("%s\t--%s\n", command->name, option->name);
        }
    }
    return finish(stdout, "standard output");
}

int main(int argc, char **argv) {
    if (argc != 2) {
        (void)fputs("usage: cachekit_share DIRECTORY | --examples | --tables\n", stderr);
        return 2;
    }
    if (strcmp(argv[1], "--examples") == 0) {
        return list_examples();
    }
    if (strcmp(argv[1], "--tables") == 0) {
        return list_options();
    }
    return write_scripts(argv[1]) != 0 || write_pages(argv[1]) != 0 ? 1 : 0;
}
