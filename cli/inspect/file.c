#include "inspect/layers.h"

#include "support/listing.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/interop.h>
#include <cachekit/key.h>
#include <cachekit/msgpack.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define VERSION_AT 2
#define RESERVED_AT 3 /* one byte, then two of flags */
#define EXPIRY_AT 6

/* ---- keys --------------------------------------------------------------------------------------------------- */

static void text_fact(inspect_report *report, const char *name, ckit_slice value) {
    char text[INSPECT_TEXT];
    inspect_fact(report, name, cli_json_bytes(value), "%s", inspect_quoted(value, text));
}

static void kind_fact(inspect_report *report, const char *kind, const char *text) {
    inspect_fact(report, "key_kind", cli_json_text(kind), "%s", text);
}

static void automatic_key(inspect_report *report, const ckit_key_parts *parts) {
    if (parts->namespace_known && parts->namespace_name.len > 0) {
        text_fact(report, "namespace", parts->namespace_name);
    } else if (parts->namespace_known) {
        inspect_fact(report, "namespace", NULL, "none");
    }
    if (parts->shortened) {
        return;
    }
    text_fact(report, "function", parts->function);
    inspect_fact(report, "arguments_hash", cli_json_bytes(parts->hash), "%.*s", (int)parts->hash.len,
                 (const char *)parts->hash.ptr);
    inspect_fact(report, "integrity", cli_json_bool(parts->integrity), "%s",
                 parts->integrity ? "values have a checksum" : "values have no checksum");
    inspect_fact(report, "serializer_code", cli_json_bytes(ckit_slice_of(&parts->code, 1)), "%c", parts->code);
}

static bool interop_key(inspect_report *report, ckit_slice key) {
    ckit_interop_key_parts parts;
    if (!ckit_interop_key_describe(key, &parts)) {
        return false;
    }
    kind_fact(report, "interop", "of interop mode: what all SDKs share");
    text_fact(report, "namespace", parts.namespace_name);
    text_fact(report, "function", parts.operation);
    inspect_fact(report, "arguments_hash", cli_json_bytes(parts.hash), "%.*s", (int)parts.hash.len,
                 (const char *)parts.hash.ptr);
    return true;
}

void inspect_key(inspect_report *report, ckit_slice key) {
    if (key.len > 2 && memcmp(key.ptr, "t:", 2) == 0) {
        const uint8_t *end = memchr(key.ptr + 2, ':', key.len - 2);
        if (end != NULL) {
            text_fact(report, "tenant", ckit_slice_of(key.ptr + 2, (size_t)(end - key.ptr) - 2));
            key = ckit_slice_of(end + 1, key.len - (size_t)(end - key.ptr) - 1);
        }
    }
    ckit_key_parts parts = ckit_key_describe(key);
    if (parts.automatic) {
        kind_fact(report, parts.shortened ? "shortened" : "automatic",
                  parts.shortened ? "automatic, and shortened: its end is a hash"
                                  : "automatic, made of a function and its arguments");
        automatic_key(report, &parts);
    } else if (!interop_key(report, key)) {
        kind_fact(report, "custom", "named by a program");
    }
}

/* ---- the header of a cache file ----------------------------------------------------------------------------- */

static uint64_t expiry_of(ckit_slice file) {
    uint64_t stamp = 0;
    for (size_t i = 0; i < 8; i++) {
        stamp = stamp << 8 | file.ptr[EXPIRY_AT + i];
    }
    return stamp;
}

/* Milliseconds left, at most CKIT_TTL_MAX_MS as readers have it. */
static uint64_t life_of(uint64_t stamp, int64_t now) {
    int64_t end;
    if (stamp == 0) {
        return CKIT_LIFE_NO_EXPIRY;
    }
    if (stamp > INT64_MAX || __builtin_mul_overflow((int64_t)stamp, (int64_t)1000, &end)) {
        return CKIT_TTL_MAX_MS;
    }
    uint64_t left = end <= now ? 0 : (uint64_t)(end - now);
    return left < CKIT_TTL_MAX_MS ? left : CKIT_TTL_MAX_MS;
}

void inspect_file_life(inspect_report *report, ckit_slice file) {
    char text[CLI_UNITS_TEXT];
    if (file.len < INSPECT_FILE_HEADER) {
        return;
    }
    uint64_t stamp = expiry_of(file);
    int64_t  now = cli_wall_ms();
    uint64_t life = life_of(stamp, now);
    report->expired = life == 0;
    if (report->expired) {
        uint64_t since = (uint64_t)now - stamp * 1000;
        inspect_fact(report, "life", cli_json_life(0), "expired %s ago, by the file's header",
                     cli_duration_text(since, text));
    } else {
        inspect_fact(report, "life", cli_json_life(life), "%s, by the file's header", cli_life_text(life, text));
    }
    inspect_silent_fact(report, "expired", cli_json_bool(report->expired));
    inspect_silent_fact(report, "life_from", cli_json_text("file header"));
}

static void expiry_fact(inspect_report *report, uint64_t stamp) {
    char      text[64] = "never";
    time_t    seconds = (time_t)stamp;
    struct tm parts;
    if (stamp > (uint64_t)cli_wall_ms() / 1000 + CKIT_TTL_MAX_MS / 1000) {
        (void)snprintf(text, sizeof text, "further away than entries can live");
    } else if (stamp != 0 && gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
    }
    inspect_fact(report, "expires_at", stamp == 0 ? NULL : cli_json_uint(stamp), "%" PRIu64 ", %s", stamp, text);
}

static void hex_of(char out[3 * 4], const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        (void)snprintf(out + 3 * i, 4, i + 1 < len ? "%02x " : "%02x", bytes[i]);
    }
}

static void check_start(inspect_report *report, ckit_slice file) {
    char found[3 * 4 + 1];
    if (memcmp(file.ptr, "CK", 2) != 0) {
        hex_of(found, file.ptr, 2);
        inspect_damage(report, file.ptr[0] == 'C' ? 1 : 0, "43 4b (\"CK\")", found, "no cache file begins like this");
    } else if (file.ptr[VERSION_AT] != 1) {
        (void)snprintf(found, sizeof found, "%u", file.ptr[VERSION_AT]);
        inspect_damage(report, VERSION_AT, "1", found,
                       "no such version of cache files is known: readers remove the file");
    } else if (file.ptr[RESERVED_AT] != 0 || file.ptr[RESERVED_AT + 1] != 0 || file.ptr[RESERVED_AT + 2] != 0) {
        size_t at = RESERVED_AT;
        while (file.ptr[at] == 0) {
            at++;
        }
        hex_of(found, file.ptr + RESERVED_AT, 3);
        inspect_damage(
            report, at, "00 00 00", found,
            "reserved bits are set, by damage or by a newer program: readers treat it as absent and keep it");
    }
}

void inspect_file_header(inspect_report *report, const inspect_part *file) {
    size_t       len = file->bytes.len < INSPECT_FILE_HEADER ? file->bytes.len : INSPECT_FILE_HEADER;
    inspect_part header = inspect_sub(file, 0, len);
    char         found[32];
    inspect_layer(report, "file header", &header);
    if (len < INSPECT_FILE_HEADER) {
        (void)snprintf(found, sizeof found, "%zu bytes", len);
        inspect_damage(report, len, "14 bytes", found, "the file ends inside its header");
        return;
    }
    inspect_fact(report, "version", cli_json_uint(file->bytes.ptr[VERSION_AT]), "%u", file->bytes.ptr[VERSION_AT]);
    unsigned flags = (unsigned)file->bytes.ptr[RESERVED_AT + 1] << 8 | file->bytes.ptr[RESERVED_AT + 2];
    inspect_fact(report, "flags", cli_json_uint(flags), "%u", flags);
    expiry_fact(report, expiry_of(file->bytes));
    check_start(report, file->bytes);
}
