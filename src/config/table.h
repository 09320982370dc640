/* config/table.h - the one table of settings: what reading, help, documentation and the options are made from. */
#ifndef CKITI_CONFIG_TABLE_H
#define CKITI_CONFIG_TABLE_H

#include <cachekit/settings.h>

typedef enum ckiti_setting_type {
    CKITI_SETTING_BOOLEAN,
    CKITI_SETTING_NUMBER,  /* whole */
    CKITI_SETTING_SECONDS, /* decimals allowed, down to a millisecond */
    CKITI_SETTING_MODE,    /* octal; no write permission for group and others */
    CKITI_SETTING_CHOICE,
    CKITI_SETTING_PATH
} ckiti_setting_type;

/* Which options struct a setting fills. */
typedef enum ckiti_option_home {
    CKITI_OPTION_NONE = 0,
    CKITI_OPTION_CACHE,
    CKITI_OPTION_FILE,
    CKITI_OPTION_GUARD,
    CKITI_OPTION_REDIS
} ckiti_option_home;

/* A word and its value; the first word of a value is the one that is written. */
typedef struct ckiti_choice {
    const char *word; /* lower case; NULL ends the list */
    uint64_t    value;
} ckiti_choice;

typedef struct ckiti_setting_row {
    ckit_setting        page; /* what the public sees */
    ckiti_setting_type  type;
    size_t              offset; /* of the field in ckit_settings */
    size_t              width;
    uint64_t            unit; /* how many of the field's units one of the setting's is: 1000 for seconds in ms */
    uint64_t            fallback;
    uint64_t            min; /* of the field; for a mode the bits that must be set */
    uint64_t            max;
    const ckiti_choice *choices;
    ckiti_option_home   home;
    size_t              option_offset;
    size_t              option_width;
    bool                files_only; /* makes sense with a file store only */
    bool                redis_only; /* with a Redis store only */
    bool                everybodys; /* other programs read its variable too: what is not understood is not refused */
} ckiti_setting_row;

/* The rows in order; ckit_settings_count() of them. */
extern const ckiti_setting_row ckiti_setting_rows[];

/* The index of the setting of this name; ckit_settings_count() when there is none. */
size_t ckiti_setting_named(const char *name);

#endif
