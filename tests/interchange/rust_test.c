/* What this library writes is read by the released Rust crates cachekit-core and cachekit-rs, and what they write by
 * this library. The crates answer over a pipe (rust/src/main.rs); rust.sh builds them and names their program in
 * CKIT_RUST_PEER. Without it everything here is skipped. */
#include <cachekit/cachekit.h>

#include "format/seal.h"
#include "support/hex.h"
#include "support/scratch.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define MASTER "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OLD_MASTER "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221101"
#define TENANT "01234567-89ab-4def-8123-456789abcdef"
#define KEY "users.v1:get-user:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153"

/* ---- the crates --------------------------------------------------------------------------------------------- */

static struct peer {
    pid_t pid;
    FILE *asks, *answers;
} peer;

static void end_peer(void) {
    (void)fclose(peer.asks);
    (void)fclose(peer.answers);
    (void)waitpid(peer.pid, NULL, 0);
}

static void start_peer(const char *program) {
    int to[2], from[2];
    CHECK(pipe(to) == 0 && pipe(from) == 0);
    peer.pid = fork();
    CHECK(peer.pid >= 0);
    if (peer.pid == 0) {
        (void)dup2(to[0], STDIN_FILENO);
        (void)dup2(from[1], STDOUT_FILENO);
        (void)close(to[1]);
        (void)close(from[0]);
        (void)execl(program, program, (char *)NULL);
        _exit(127);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    peer.asks = fdopen(to[1], "w");
    peer.answers = fdopen(from[0], "r");
    CHECK(peer.asks != NULL && peer.answers != NULL);
    (void)atexit(end_peer);
}

/* First in every test, while there is nothing that a skipped one would leave behind. */
static void need_the_crates(void) {
    const char *program = getenv("CKIT_RUST_PEER");
    if (program == NULL) {
        SKIP("the Rust crates are not built (make interchange)");
    }
    if (peer.pid == 0) {
        start_peer(program);
    }
}

/* The answer's line, without "= ". Lives until the next question. */
CKIT_PRINTF(1, 2) static const char *ask(const char *fmt, ...) {
    static char  *line;
    static size_t room;
    va_list       args;
    va_start(args, fmt);
    (void)vfprintf(peer.asks, fmt, args);
    va_end(args);
    (void)fputc('\n', peer.asks);
    (void)fflush(peer.asks);
    const ssize_t len = getline(&line, &room, peer.answers);
    CHECK(len > 0);
    line[len - 1] = '\0';
    return strncmp(line, "= ", 2) == 0 ? line + 2 : line;
}

static bool refused(const char *answer) { return strncmp(answer, "error ", 6) == 0; }

/* ---- envelopes ---------------------------------------------------------------------------------------------- */

/* Contents that compress well, hardly, and not at all. */
static ckit_slice content(size_t len, int kind) {
    static uint8_t bytes[100000];
    uint32_t       state = 1;
    for (size_t i = 0; i < len; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = kind == 0 ? 'x' : kind == 1 ? (uint8_t)(state >> 30) : (uint8_t)(state >> 24);
    }
    return ckit_slice_of(bytes, len);
}

static const size_t lengths[] = {1, 2, 15, 16, 255, 256, 1000, 65536, 100000};
#define EACH_CONTENT(length, kind)                                                                                     \
    for (const size_t *length = lengths; length < lengths + COUNT(lengths); length++)                                  \
        for (int kind = 0; kind < 3; kind++)

CKIT_TEST(rust, envelopes_of_the_crate_are_opened) {
    need_the_crates();
    EACH_CONTENT(length, kind) {
        const ckit_slice given = content(*length, kind);
        char            *hex = hex_encode(given);
        ckit_buf         back = CKIT_BUF_INIT;
        ckit_slice       format;
        CHECK_OK(ckit_envelope_open(hex_slice(ask("store %s", hex)), NULL, &back, &format, NULL));
        CHECK_BYTES(given, ckit_buf_slice(&back));
        CHECK_TEXT("msgpack", format);
        ckit_buf_fini(&back);
        free(hex);
    }
}

CKIT_TEST(rust, envelopes_of_ours_are_opened_by_the_crate_at_every_level) {
    need_the_crates();
    static const int levels[] = {CKIT_COMPRESSION_OFF, 1, CKIT_COMPRESSION_DEFAULT, 9};
    for (size_t level = 0; level < COUNT(levels); level++) {
        EACH_CONTENT(length, kind) {
            ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
            const ckit_slice      given = content(*length, kind);
            ckit_buf              stored = CKIT_BUF_INIT;
            options.compression_level = levels[level];
            CHECK_OK(ckit_envelope_store(given, S("msgpack"), &options, &stored, NULL));
            char       *envelope = hex_encode(ckit_buf_slice(&stored)), *hex = hex_encode(given);
            const char *answer = ask("retrieve %s", envelope);
            CHECK(strncmp(answer, hex, strlen(hex)) == 0);
            CHECK_STR(" msgpack", answer + strlen(hex));
            free(envelope);
            free(hex);
            ckit_buf_fini(&stored);
        }
    }
}

CKIT_TEST(rust, a_changed_byte_of_an_envelope_is_refused_by_both_or_by_neither) {
    need_the_crates();
    ckit_buf stored = CKIT_BUF_INIT, ours = CKIT_BUF_INIT;
    CHECK_OK(ckit_envelope_store(content(40, 1), S("msgpack"), NULL, &stored, NULL));
    for (size_t i = 0; i < stored.len * 8; i++) {
        stored.ptr[i / 8] ^= (uint8_t)(1u << i % 8);
        char       *hex = hex_encode(ckit_buf_slice(&stored));
        const char *answer = ask("retrieve %s", hex);
        ours.len = 0;
        CHECKF((ckit_envelope_open(ckit_buf_slice(&stored), NULL, &ours, NULL, NULL) == CKIT_OK) == !refused(answer),
               "bit %zu: the crate says %s", i, answer);
        stored.ptr[i / 8] ^= (uint8_t)(1u << i % 8);
        free(hex);
    }
    ckit_buf_fini(&stored);
    ckit_buf_fini(&ours);
}

/* ---- sealing ------------------------------------------------------------------------------------------------ */

static ckit_keyring *ring_of(const char *current, const char *previous) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    options.master_key_hex = current;
    options.previous_keys_hex = previous;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    return ring;
}

/* What a compressed document is sealed with in the automatic mode, and what stands in for it in interop mode. */
static const struct kind {
    bool        compressed;
    const char *original_type;
} kinds[] = {{true, "msgpack"}, {false, "msgpack"}, {false, ""}};

static ckit_seal_subject subject_of(const struct kind *kind) {
    return (ckit_seal_subject){.tenant = S(TENANT),
                               .key = S(KEY),
                               .format = S("msgpack"),
                               .original_type = S(kind->original_type),
                               .compressed = kind->compressed};
}

static char *additional_of(const ckit_seal_subject *subject) {
    ckiti_seal_additional additional;
    CHECK_OK(ckiti_seal_additional_init(&additional, subject, NULL, NULL));
    char *hex = hex_encode(ckit_slice_of(additional.ptr, additional.len));
    ckiti_seal_additional_fini(&additional);
    return hex;
}

CKIT_TEST(rust, a_tenants_key_has_one_name) {
    need_the_crates();
    static const char *const tenants[] = {"default", TENANT, "t"};
    char                     ours[CKIT_FINGERPRINT_DIGITS + 1];
    ckit_keyring            *ring = ring_of(MASTER, NULL);
    for (size_t i = 0; i < COUNT(tenants); i++) {
        CHECK_OK(ckit_keyring_fingerprint(ring, S(tenants[i]), ours, NULL));
        CHECK_STR(ours, ask("fingerprint " MASTER " %s", tenants[i]));
    }
    ckit_keyring_close(ring);
}

CKIT_TEST(rust, sealed_bytes_are_exchanged_also_after_a_rotation) {
    need_the_crates();
    for (size_t i = 0; i < COUNT(kinds) * COUNT(lengths); i++) {
        const ckit_seal_subject subject = subject_of(&kinds[i % COUNT(kinds)]);
        const ckit_slice        given = content(lengths[i / COUNT(kinds)], 2);
        ckit_keyring           *before = ring_of(OLD_MASTER, NULL), *after = ring_of(MASTER, OLD_MASTER);
        ckit_buf                sealed = CKIT_BUF_INIT, back = CKIT_BUF_INIT;
        char                   *additional = additional_of(&subject), *hex = hex_encode(given);
        CHECK_OK(ckit_seal(before, &subject, given, &sealed, NULL));
        char *ours = hex_encode(ckit_buf_slice(&sealed));
        CHECK_STR(hex, ask("open " MASTER " " OLD_MASTER " " TENANT " %s %s", additional, ours));
        CHECK(refused(ask("open " MASTER " - " TENANT " %s %s", additional, ours)));
        ours[strlen(ours) - 1] ^= 1; /* another digit */
        CHECK(refused(ask("open " MASTER " " OLD_MASTER " " TENANT " %s %s", additional, ours)));
        const ckit_slice theirs = hex_slice(ask("seal " OLD_MASTER " " TENANT " %s %s", additional, hex));
        CHECK_OK(ckit_unseal(after, &subject, S(""), theirs, 0, &back, NULL));
        CHECK_BYTES(given, ckit_buf_slice(&back));
        free(ours);
        free(hex);
        free(additional);
        ckit_buf_fini(&sealed);
        ckit_buf_fini(&back);
        ckit_keyring_close(before);
        ckit_keyring_close(after);
    }
}

CKIT_TEST(rust, values_without_a_frame_are_sealed_alike_by_the_sdk) {
    need_the_crates();
    const ckit_seal_subject subject = subject_of(&kinds[2]);
    ckit_keyring           *ring = ring_of(MASTER, NULL);
    ckit_buf                sealed = CKIT_BUF_INIT, back = CKIT_BUF_INIT;
    CHECK_OK(ckit_seal(ring, &subject, S("\xa5value"), &sealed, NULL));
    char *ours = hex_encode(ckit_buf_slice(&sealed));
    CHECK_STR("a576616c7565", ask("decrypt " MASTER " " TENANT " " KEY " %s", ours));
    CHECK(refused(ask("decrypt " MASTER " " TENANT " another-key %s", ours)));
    CHECK(refused(ask("decrypt " MASTER " another-tenant " KEY " %s", ours)));
    const ckit_slice theirs = hex_slice(ask("encrypt " MASTER " " TENANT " " KEY " a576616c7565"));
    CHECK_OK(ckit_unseal(ring, &subject, S(""), theirs, 0, &back, NULL));
    CHECK_TEXT("\xa5value", ckit_buf_slice(&back));
    free(ours);
    ckit_buf_fini(&sealed);
    ckit_buf_fini(&back);
    ckit_keyring_close(ring);
}

/* ---- interop mode ------------------------------------------------------------------------------------------- */

/* Documents as somebody wrote them: long heads, unsorted maps, floats without a fraction and of 32 bits. */
static const char *const documents[] = {
    "c0",
    "c3",
    "cd0001",
    "d3ffffffffffffffff",
    "cfffffffffffffffff",
    "d38000000000000000",
    "cb4000000000000000",
    "ca3fc00000",
    "cb8000000000000000",
    "cb7e37e43c8800759c",
    "cb43f0000000000000",
    "cbc3e0000000000000",
    "d90474657874",
    "a9c39c6ec3af636f6465",
    "c403000102",
    "dc000301dd0000000102c0",
    "82a16202a16101",
    "82a4f090808001a3efbda102", /* sorted by code points, not by UTF-16 */
};

CKIT_TEST(rust, names_of_calls_are_the_same) {
    need_the_crates();
    for (size_t i = 0; i < COUNT(documents); i++) {
        const ckit_slice  document = hex_slice(documents[i]);
        ckit_interop_args args;
        ckit_slice        packed;
        ckit_buf          key = CKIT_BUF_INIT;
        if (ckit_document_check(document, NULL) != CKIT_OK) {
            FAIL("document %zu is none", i);
        }
        ckit_interop_args_init(&args, NULL);
        ckit_interop_args_document(&args, document);
        CHECK_OK(ckit_interop_args_pack(&args, &packed, NULL));
        CHECK_OK(ckit_interop_key(S("users.v1"), S("get-user"), packed, &key, NULL));
        char *hex = hex_encode(packed);
        CHECK_OK(ckit_buf_append(&key, S(" ")));
        CHECK_OK(ckit_buf_append(&key, S(hex)));
        CHECK_TEXT(ask("key users.v1 get-user 91%s", documents[i]), ckit_buf_slice(&key));
        free(hex);
        ckit_buf_fini(&key);
        ckit_interop_args_fini(&args);
    }
}

CKIT_TEST(rust, values_are_the_same) {
    need_the_crates();
    for (size_t i = 0; i < COUNT(documents); i++) {
        ckit_buf ours = CKIT_BUF_INIT;
        CHECK_OK(ckit_interop_value_normalise(hex_slice(documents[i]), &ours, NULL));
        CHECK_BYTES(hex_slice(ask("value %s", documents[i])), ckit_buf_slice(&ours));
        ckit_buf_fini(&ours);
    }
}

/* ---- one directory of files for both ------------------------------------------------------------------------ */

typedef struct shared {
    char          directory[SCRATCH_PATH];
    ckit_keyring *ring;
    ckit_cache   *cache;
} shared;

static void shared_open(shared *s, bool sealed) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    char               url[SCRATCH_PATH + 8];
    scratch_make(s->directory);
    (void)snprintf(url, sizeof url, "file://%s", s->directory);
    s->ring = sealed ? ring_of(MASTER, NULL) : NULL;
    options.keyring = s->ring;
    options.encryption = sealed ? CKIT_ON : CKIT_OFF;
    options.deployment_id = sealed ? TENANT : NULL;
    options.l1 = CKIT_OFF;
    CHECK_OK_ERR(ckit_cache_open(url, &options, &s->cache, &err), &err);
}

static void shared_close(shared *s) {
    ckit_cache_close(s->cache);
    ckit_keyring_close(s->ring);
    scratch_remove(s->directory);
}

CKIT_TEST(rust, entries_in_files_are_exchanged_in_the_clear_and_sealed) {
    need_the_crates();
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.encoding = CKIT_INTEROP;
    options.ttl_ms = 600000;
    for (int sealed = 0; sealed < 2; sealed++) {
        const char *set = sealed ? "secure-set" : "set", *get = sealed ? "secure-get" : "get";
        const char *keys = sealed ? MASTER " " TENANT " " : "";
        shared      s;
        shared_open(&s, sealed != 0);
        for (size_t i = 0; i < COUNT(documents); i++) {
            ckit_buf   canonical = CKIT_BUF_INIT, back = CKIT_BUF_INIT;
            ckit_value value = CKIT_VALUE_INIT;
            CHECK_OK(ckit_interop_value_normalise(hex_slice(documents[i]), &canonical, NULL));
            CHECK_OK(ckit_cache_set(s.cache, S(KEY), hex_slice(documents[i]), &options, NULL));
            CHECK_BYTES(ckit_buf_slice(&canonical), hex_slice(ask("%s %s %s" KEY, get, s.directory, keys)));
            CHECK_STR("none", ask("%s %s %s" KEY " %s", set, s.directory, keys, documents[i]));
            CHECK_OK(ckit_cache_get(s.cache, S(KEY), &options, &value, NULL));
            CHECK_OK(ckit_interop_value_normalise(value.data, &back, NULL)); /* theirs is in the order of the maker */
            CHECK_BYTES(ckit_buf_slice(&canonical), ckit_buf_slice(&back));
            ckit_value_fini(&value);
            ckit_buf_fini(&canonical);
            ckit_buf_fini(&back);
        }
        CHECK_STR("none", ask("%s %s %sabsent", get, s.directory, keys));
        shared_close(&s);
    }
}
