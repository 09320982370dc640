/* config/scheme.h - which store a URL means, and what may have been meant by one that cannot be read. */
#ifndef CKITI_CONFIG_SCHEME_H
#define CKITI_CONFIG_SCHEME_H

#include "base/url.h"

typedef enum ckiti_store { CKITI_STORE_NONE, CKITI_STORE_FILE, CKITI_STORE_REDIS } ckiti_store;

/* Takes a URL apart and looks at everything but its parameters; of a URL of Redis only at the scheme, the rest is for
 * that store to read. `url` is ended with ckiti_url_fini, also on failure.
 *
 * CKIT_E_CONFIGURATION  not a URL of a store; the text says how one is written. User and password are never shown
 * CKIT_E_UNSUPPORTED    a URL of a store that this version does not have */
ckit_status ckiti_scheme_read(ckiti_url *url, ckit_slice text, ckiti_store *store, ckit_error *err);

#endif
