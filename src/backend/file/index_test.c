/* The index that tells which entries belong to whom: records, damage, walks, compaction. Of index_file.c and
 * index_record.c. */
#include "file_fixture.h"
#include "index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- records ----------------------------------------------------------------------------------------------------- */

static size_t write_record(uint8_t *out, const char *key, const char *namespace_name, uint64_t salt) {
    ckiti_index_record record = {.created_ms = 1700000000123, .key = S(key), .namespace_name = S(namespace_name)};
    memset(record.hash, key[0], sizeof record.hash);
    ckiti_index_record_write(out, &record, salt);
    return ckiti_index_record_size(&record);
}

CKIT_TEST(record, it_comes_back_as_it_was_written) {
    uint8_t            bytes[256];
    size_t             len = write_record(bytes, "key", "name", 7), at = 0, start = 1;
    ckiti_index_record record;
    CHECK(ckiti_index_record_next((ckit_slice){bytes, len}, 7, &at, &start, &record));
    CHECK_EQ_U(0, start);
    CHECK_EQ_U(len, at);
    CHECK_TEXT("key", record.key);
    CHECK_TEXT("name", record.namespace_name);
    CHECK_EQ_U(0, record.function.len);
    CHECK_EQ_I(1700000000123, record.created_ms);
    CHECK(!ckiti_index_record_next((ckit_slice){bytes, len}, 7, &at, &start, &record));
}

CKIT_TEST(record, a_torn_or_changed_one_is_stepped_over) {
    uint8_t            bytes[512], copy[512];
    size_t             first = write_record(bytes, "first", "n", 7);
    size_t             len = first + write_record(bytes + first, "second", "n", 7);
    ckiti_index_record record;
    for (size_t changed = 0; changed < first; changed++) {
        memcpy(copy, bytes, len);
        copy[changed] ^= 0x41;
        size_t at = 0, start;
        CHECKF(ckiti_index_record_next((ckit_slice){copy, len}, 7, &at, &start, &record), "byte %zu", changed);
        CHECK_TEXT("second", record.key);
    }
    for (size_t kept = 0; kept < first; kept++) { /* torn after `kept` bytes, then somebody appended */
        memcpy(copy, bytes, kept);
        memcpy(copy + kept, bytes + first, len - first);
        size_t at = 0, start;
        CHECKF(ckiti_index_record_next((ckit_slice){copy, kept + len - first}, 7, &at, &start, &record), "%zu", kept);
        CHECK_TEXT("second", record.key);
    }
}

CKIT_TEST(record, a_key_that_reads_as_a_record_is_none_without_the_salt) {
    uint8_t            forged[256], bytes[512];
    size_t             forged_len = write_record(forged, "forged", "victim", 8);
    ckiti_index_record record = {.created_ms = 1, .key = {forged, forged_len}}, found;
    ckiti_index_record_write(bytes, &record, 7);
    size_t len = ckiti_index_record_size(&record), at = 0, start;
    bytes[CKITI_INDEX_FIXED_BYTES - 1] ^= 1; /* the outer one is damaged: reading goes on inside */
    CHECK(!ckiti_index_record_next((ckit_slice){bytes, len}, 7, &at, &start, &found));
}

CKIT_TEST(record, texts_that_are_too_long_have_no_record) {
    ckiti_index_record record = {.key = {(const uint8_t *)"", CKITI_INDEX_MAX_TEXT + 1}};
    CHECK_EQ_U(0, ckiti_index_record_size(&record));
}

CKIT_TEST(record, every_changed_header_is_refused) {
    uint8_t            bytes[CKITI_INDEX_HEADER_BYTES];
    ckiti_index_header header = {.salt = 1, .base = 2}, back;
    ckiti_index_header_write(bytes, &header);
    CHECK(ckiti_index_header_parse(S_ARRAY(bytes), &back));
    CHECK_EQ_U(2, back.base);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        CHECK(!ckiti_index_header_parse(S_ARRAY(bytes), &back));
        bytes[i] ^= 1;
        CHECK(!ckiti_index_header_parse((ckit_slice){bytes, i}, &back));
    }
}

/* ---- the index in use -------------------------------------------------------------------------------------------- */

typedef struct counted {
    size_t entries;
    size_t with_key;
} counted;

static ckit_status count(void *context, const ckit_listed *entry) {
    counted *c = context;
    c->entries++;
    c->with_key += entry->key.len > 0;
    CHECK_EQ_U(CKITI_FILE_NAME_CHARS, entry->name.len);
    CHECK(entry->created_wall_ms > 0);
    return CKIT_OK;
}

static void expect_list(fixture *f, size_t entries, size_t with_key) {
    counted    c = {0, 0};
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    CHECK_OK(f->ops->list(f->self, &all, CKIT_NO_DEADLINE, count, &c, NULL));
    CHECK_EQ_U(entries, c.entries);
    CHECK_EQ_U(with_key, c.with_key);
}

static off_t index_size(fixture *f) {
    struct stat st;
    return stat(fixture_path(f, CKITI_INDEX_NAME), &st) == 0 ? st.st_size : -1;
}

static void write_foreign(fixture *f, const char *name) {
    scratch_write_file(fixture_path(f, name), S_LITERAL("CK\1\0\0\0\0\0\0\0\0\0\0\0theirs"));
}

CKIT_TEST(index, entries_of_other_programs_are_listed_by_file_name) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "mine", "v", "n", "f"));
    write_foreign(&f, "0123456789abcdef0123456789abcdef");
    expect_list(&f, 2, 1);
    fixture_close(&f);
}

static ckit_status keep_created(void *context, const ckit_listed *entry) {
    *(int64_t *)context = entry->created_wall_ms;
    return CKIT_OK;
}

static int64_t listed_created(fixture *f) {
    int64_t    created_ms = -1;
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    CHECK_OK(f->ops->list(f->self, &all, CKIT_NO_DEADLINE, keep_created, &created_ms, NULL));
    return created_ms;
}

static void stamp_file(fixture *f, const char *key, time_t seconds) {
    ckiti_file_name       name;
    const struct timespec stamps[2] = {{.tv_nsec = UTIME_OMIT}, {seconds, 250000000}};
    ckiti_file_name_of_key(&name, S(key));
    CHECK_EQ_I(0, utimensat(AT_FDCWD, fixture_path(f, name.text), stamps, 0));
}

CKIT_TEST(index, an_entry_is_as_old_as_its_last_write) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "k", "v", "n", "f"));
    stamp_file(&f, "k", 1000000000);
    CHECK_EQ_I(1000000000250, listed_created(&f));
    CHECK_OK(fixture_set_owned(&f, "k", "w", "n", "f"));
    CHECK(listed_created(&f) > 1000000000250);
    stamp_file(&f, "k", -5);
    CHECK_EQ_I(0, listed_created(&f));
    fixture_close(&f);
}

CKIT_TEST(index, a_scoped_deletion_tells_how_many_it_could_not_judge) {
    fixture      f;
    ckit_deleted deleted;
    ckit_scope   scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("n")};
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "mine", "v", "n", "f"));
    CHECK_OK(fixture_set_owned(&f, "other", "v", "m", "f"));
    CHECK_OK(fixture_set(&f, "nobodys", "v", 60000));
    write_foreign(&f, "0123456789abcdef0123456789abcdef");
    write_foreign(&f, "1123456789abcdef0123456789abcdef");
    CHECK_OK(f.ops->delete_scope(f.self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(1, deleted.deleted);
    CHECK_EQ_U(2, deleted.unindexed);
    scope.kind = CKIT_SCOPE_ALL;
    CHECK_OK(f.ops->delete_scope(f.self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(4, deleted.deleted);
    CHECK_EQ_U(0, deleted.unindexed);
    CHECK_EQ_U(0, fixture_entries(&f));
    fixture_close(&f);
}

CKIT_TEST(index, an_overwrite_of_a_noted_entry_does_not_touch_it) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "k", "v", "n", "f"));
    off_t size = index_size(&f);
    CHECK(size > 0);
    for (int i = 0; i < 10; i++) {
        CHECK_OK(fixture_set_owned(&f, "k", "w", "n", "f"));
    }
    CHECK_EQ_I(size, index_size(&f));
    CHECK_OK(fixture_set_owned(&f, "k", "w", "another", "f"));
    CHECK(index_size(&f) > size);
    fixture_close(&f);
}

CKIT_TEST(index, deleting_it_loses_names_and_overwriting_brings_them_back) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "a", "1", "n", "f"));
    CHECK_OK(fixture_set_owned(&f, "b", "2", "n", "f"));
    CHECK_EQ_I(0, unlink(fixture_path(&f, CKITI_INDEX_NAME)));
    expect_list(&f, 2, 0);
    fixture_expect(&f, "a", "1");
    fake_clock_advance(&f.time, 1001); /* the store looks once a second whether it is still the same index */
    CHECK_OK(fixture_set_owned(&f, "a", "1", "n", "f"));
    expect_list(&f, 2, 1);
    fixture_close(&f);
}

CKIT_TEST(index, a_damaged_one_is_made_again) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "a", "1", "n", "f"));
    scratch_write_file(fixture_path(&f, CKITI_INDEX_NAME), S("this is no index, and it is long enough to be one"));
    expect_list(&f, 1, 0);
    CHECK_OK(fixture_set_owned(&f, "b", "2", "n", "f"));
    expect_list(&f, 2, 1);
    fixture_close(&f);
}

CKIT_TEST(index, a_torn_tail_loses_one_name_at_most) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "a", "1", "n", "f"));
    CHECK_OK(fixture_set_owned(&f, "b", "2", "n", "f"));
    CHECK_EQ_I(0, truncate(fixture_path(&f, CKITI_INDEX_NAME), index_size(&f) - 5));
    expect_list(&f, 2, 1);
    CHECK_OK(fixture_set_owned(&f, "c", "3", "n", "f"));
    expect_list(&f, 3, 2);
    fixture_close(&f);
}

CKIT_TEST(index, it_does_not_grow_with_entries_that_come_and_go) {
    fixture f;
    char    key[600];
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "stays", "1", "n", "f"));
    memset(key, 'k', sizeof key);
    for (int i = 0; i < 1500; i++) {
        snprintf(key + 590, 10, "%d", i);
        fake_clock_advance(&f.time, 1000); /* records younger than a minute are kept in any case */
        CHECK_OK(fixture_set(&f, key, "v", 60000));
        CHECK_OK(f.ops->remove(f.self, S(key), CKIT_NO_DEADLINE, NULL));
    }
    CHECK(index_size(&f) < 700000); /* without compaction: a million */
    fixture_close(&f);
}

CKIT_TEST(index, compaction_keeps_the_names_of_what_is_there) {
    fixture f;
    char    key[32];
    fixture_open(&f);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        CHECK_OK(fixture_set(&f, key, "v", CKIT_TTL_NO_EXPIRY));
    }
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "k%d", i);
        CHECK_OK(f.ops->remove(f.self, S(key), CKIT_NO_DEADLINE, NULL));
    }
    off_t before = index_size(&f);
    fake_clock_advance(&f.time, 61000);
    CHECK_OK(ckiti_index_compact(f.self, CKIT_NO_DEADLINE, NULL));
    CHECK(index_size(&f) < before);
    expect_list(&f, 30, 30);
    CHECK_EQ_U(0, fixture_temps(&f));
    fixture_close(&f);
}

CKIT_TEST(index, what_was_removed_and_stored_again_is_noted_again) {
    fixture f;
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "k", "v", "n", "f"));
    CHECK_OK(f.ops->remove(f.self, S("k"), CKIT_NO_DEADLINE, NULL));
    fake_clock_advance(&f.time, 61000);
    CHECK_OK(ckiti_index_compact(f.self, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(fixture_set_owned(&f, "k", "v", "n", "f"));
    expect_list(&f, 1, 1);
    fixture_close(&f);
}

CKIT_TEST(index, an_entry_that_goes_to_another_owner_and_back_is_the_first_owners_again) {
    fixture      f;
    ckit_deleted deleted;
    ckit_scope   scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("n")};
    fixture_open(&f);
    CHECK_OK(fixture_set_owned(&f, "k", "1", "n", "f"));
    CHECK_OK(fixture_set_owned(&f, "k", "2", "another", "f"));
    CHECK_OK(fixture_set_owned(&f, "k", "3", "n", "f"));
    CHECK_OK(f.ops->delete_scope(f.self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(1, deleted.deleted);
    fixture_expect(&f, "k", NULL);
    fixture_close(&f);
}

/* ---- entries that cannot be looked at ---------------------------------------------------------------------------- */

static ckit_status count_listed(void *context, const ckit_listed *entry) {
    (void)entry;
    ++*(size_t *)context;
    return CKIT_OK;
}

/* Three entries of one owner, and a system that refuses one call on the second of them. */
static void open_with_three(fixture *f, faulty_io *io) {
    fixture_open_faulty(f, io);
    CHECK_OK(fixture_set_owned(f, "a", "1", "n", "f"));
    CHECK_OK(fixture_set_owned(f, "b", "2", "n", "f"));
    CHECK_OK(fixture_set_owned(f, "c", "3", "n", "f"));
}

CKIT_TEST(scope, a_deletion_that_could_not_judge_or_remove_an_entry_says_so_and_removes_the_others) {
    static const struct {
        faulty_kind kind;
        uint64_t    at; /* opened before: the index and the directory; read before: the index, twice */
        int         error;
    } refusals[] = {{FAULTY_OPEN, 3, EMFILE}, {FAULTY_READ, 3, EIO}, {FAULTY_UNLINK, 1, EACCES}};
    ckit_scope scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("n")};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        fixture      f;
        faulty_io    io;
        ckit_deleted deleted;
        ckit_error   err = CKIT_ERROR_INIT;
        open_with_three(&f, &io);
        faulty_io_fail(&io, refusals[i].kind, refusals[i].at, refusals[i].error);
        ckit_status st = f.ops->delete_scope(f.self, &scope, CKIT_NO_DEADLINE, &deleted, &err);
        CHECK_EQ_U(1, atomic_load(&io.failed));
        CHECKF(st >= CKIT_E_FIRST && st == err.status, "%s", ckit_status_name(st));
        CHECK_EQ_I(refusals[i].error, err.sys_errno);
        CHECK_EQ_U(2, deleted.deleted);
        CHECK_OK_ERR(f.ops->delete_scope(f.self, &scope, CKIT_NO_DEADLINE, &deleted, &err), &err);
        CHECK_EQ_U(1, deleted.deleted);
        fixture_close(&f);
    }
}

CKIT_TEST(scope, a_listing_that_could_not_look_at_an_entry_says_so_and_shows_the_others) {
    fixture    f;
    faulty_io  io;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    size_t     listed = 0;
    open_with_three(&f, &io);
    faulty_io_fail(&io, FAULTY_OPEN, 3, EMFILE);
    CHECK_STATUS_ERR(CKIT_E_IO, f.ops->list(f.self, &all, CKIT_NO_DEADLINE, count_listed, &listed, &err), &err);
    CHECK_EQ_U(2, listed);
    fixture_close(&f);
}

CKIT_TEST(scope, an_entry_of_another_owner_need_not_be_looked_at) {
    fixture      f;
    faulty_io    io;
    ckit_deleted deleted;
    ckit_scope   scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("another")};
    open_with_three(&f, &io);
    faulty_io_fail(&io, FAULTY_OPEN, 2, EMFILE);
    CHECK_OK(f.ops->delete_scope(f.self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(0, deleted.deleted);
    CHECK_EQ_U(0, deleted.unindexed);
    fixture_close(&f);
}
