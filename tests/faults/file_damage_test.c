/* Every prefix and every single changed byte of a cache file. The store itself vouches for its header only: behind it
 * lies a value with a checksum of its own, which is the caller's to check. */
#include <cachekit/buf.h>
#include <cachekit/file.h>

#include "support/fake_clock.h"
#include "support/scratch.h"
#include "support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEADER 14u
#define ENTRY_NAME "2f67918399d2d3551998794c4b3601c7" /* user:123 */

typedef struct store {
    char                    dir[SCRATCH_PATH];
    char                    path[SCRATCH_PATH + 64];
    fake_clock              time;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
    uint8_t                *bytes; /* of the whole file */
    size_t                  len;
} store;

static void begin(store *s) {
    ckit_file_options options = CKIT_FILE_OPTIONS_INIT;
    ckit_backend_env  env = CKIT_BACKEND_ENV_INIT;
    scratch_make(s->dir);
    fake_clock_init(&s->time);
    options.directory = s->dir;
    options.sync = CKIT_FILE_SYNC_NONE;
    env.clock = &s->time.clock;
    CHECK_OK(ckit_file_open(&options, &env, &s->backend, NULL));
    s->ops = ckit_backend_operations(s->backend);
    s->self = ckit_backend_self(s->backend);
    uint8_t value[200];
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)(i * 7);
    }
    ckit_entry_info info = {.ttl_ms = 60000};
    CHECK_OK(s->ops->set(s->self, S("user:123"), S_ARRAY(value), &info, CKIT_NO_DEADLINE, NULL));
    snprintf(s->path, sizeof s->path, "%s/%s", s->dir, ENTRY_NAME);
    s->bytes = scratch_read_file(s->path, &s->len);
    CHECK_EQ_U(HEADER + sizeof value, s->len);
}

static void end(store *s) {
    free(s->bytes);
    ckit_backend_close(s->backend);
    scratch_remove(s->dir);
}

/* What the store makes of these bytes: a miss, or exactly what stands behind the header. */
static ckit_status read_planted(store *s, ckit_slice planted) {
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms = 0;
    scratch_write_file(s->path, planted);
    ckit_status st = s->ops->get(s->self, S("user:123"), CKIT_NO_DEADLINE, &out, &life_ms, NULL);
    CHECK(st == CKIT_OK || st == CKIT_MISS);
    if (st == CKIT_OK) {
        CHECK_BYTES(((ckit_slice){planted.ptr + HEADER, planted.len - HEADER}), ckit_buf_slice(&out));
        CHECK(life_ms > 0 && (life_ms <= CKIT_TTL_MAX_MS || life_ms == CKIT_LIFE_NO_EXPIRY));
    } else {
        CHECK_EQ_U(0, out.len);
    }
    ckit_buf_fini(&out);
    return st;
}

CKIT_TEST(damage, no_prefix_of_a_file_is_more_than_a_prefix_of_its_value) {
    store s;
    begin(&s);
    for (size_t len = 0; len <= s.len; len++) {
        ckit_status st = read_planted(&s, (ckit_slice){s.bytes, len});
        CHECK_STATUS(len < HEADER ? CKIT_MISS : CKIT_OK, st);
    }
    end(&s);
}

CKIT_TEST(damage, a_changed_header_bit_changes_a_lifetime_or_makes_a_miss) {
    store s;
    begin(&s);
    for (size_t at = 0; at < HEADER; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            s.bytes[at] ^= (uint8_t)(1u << bit);
            ckit_status st = read_planted(&s, (ckit_slice){s.bytes, s.len});
            if (at < 6) {
                CHECK_STATUS(CKIT_MISS, st);
            }
            s.bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
    end(&s);
}

CKIT_TEST(damage, changed_value_bytes_arrive_as_they_lie_there) {
    store s;
    begin(&s);
    for (size_t at = HEADER; at < s.len; at++) {
        s.bytes[at] ^= 0x55;
        CHECK_OK(read_planted(&s, (ckit_slice){s.bytes, s.len}));
        s.bytes[at] ^= 0x55;
    }
    end(&s);
}
