/* Any bytes as a stored value: what `get` makes of them. */
#include "support/stored.h"

#include <cachekit/buf.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ckit_slice stored = ckit_slice_of(data, size);
    cli_stored opened = {.form = CLI_FORM_RAW};
    ckit_buf   json = CKIT_BUF_INIT;
    (void)cli_stored_was_envelope(stored);
    (void)cli_stored_was_legacy_frame(stored);
    (void)(size >= 8 && cli_stored_front_checksum(stored) != 0);
    if (cli_stored_open(stored, &opened, NULL) == CKIT_OK) {
        (void)cli_stored_open_bare(&opened, NULL);
        for (int pretty = 0; pretty < 2; pretty++) {
            json.len = 0;
            if (cli_stored_to_json(&opened, pretty != 0, &json, NULL) != CKIT_OK && json.len != 0) {
                abort();
            }
        }
    } else if (opened.form != CLI_FORM_RAW) {
        abort();
    }
    ckit_buf_fini(&json);
    cli_stored_fini(&opened);
    return 0;
}
