/* JSON text as a document, and the document as JSON text: a document that came from a text must come from its own text
 * again, byte for byte. */
#include "support/document_json.h"
#include "support/fuzz_input.h"

#include <cachekit/buf.h>
#include <cachekit/document.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ckit_slice text = ckit_slice_of(data, size);
    ckit_buf   document = CKIT_BUF_INIT, shown = CKIT_BUF_INIT, again = CKIT_BUF_INIT;
    bool       is_json = cli_document_from_json(text, &document, NULL) == CKIT_OK;
    check(is_json == (cli_document_from_json(text, NULL, NULL) == CKIT_OK));
    if (is_json) {
        check(ckit_document_check(ckit_buf_slice(&document), NULL) == CKIT_OK);
        for (int pretty = 0; pretty < 2; pretty++) {
            shown.len = again.len = 0;
            check(cli_document_to_json(ckit_buf_slice(&document), pretty != 0, &shown, NULL) == CKIT_OK);
            check(cli_document_from_json(ckit_buf_slice(&shown), &again, NULL) == CKIT_OK);
            check(ckit_slice_equal(ckit_buf_slice(&document), ckit_buf_slice(&again)));
        }
    } else {
        check(document.len == 0);
        shown.len = 0;
        (void)cli_document_to_json(text, false, &shown, NULL); /* it may be a document by chance */
    }
    ckit_buf_fini(&document);
    ckit_buf_fini(&shown);
    ckit_buf_fini(&again);
    return 0;
}
