/* config/settings.h - settings being put together: defaults, then the environment, then a URL's parameters. */
#ifndef CKITI_CONFIG_SETTINGS_H
#define CKITI_CONFIG_SETTINGS_H

#include "config/scheme.h"

#include <cachekit/settings.h>

/* Every setting at its default, without file_cache_dir. */
void ckiti_settings_defaults(ckit_settings *settings);

/* Reads every variable of the table. `environment` is not NULL. */
ckit_status ckiti_settings_read(ckit_settings *settings, const char *const *environment, ckit_error *err);

/* Reads every parameter of a URL; those of a store only when it is `store`. Unknown ones and repeated ones are
 * refused. */
ckit_status ckiti_settings_read_url(ckit_settings *settings, const ckiti_url *url, ckiti_store store, ckit_error *err);

/* Looks at what must fit together and settles the defaults that follow from other settings. */
ckit_status ckiti_settings_settle(ckit_settings *settings, ckit_error *err);

/* Puts a path into file_cache_dir. CKIT_E_CONFIGURATION when it is empty or too long. */
ckit_status ckiti_settings_set_directory(ckit_settings *settings, ckit_slice path, ckit_setting_source source,
                                         ckit_error *err);

/* The value of a setting's field as a number. Not for paths. */
uint64_t ckiti_settings_value(const ckit_settings *settings, size_t index);

#endif
