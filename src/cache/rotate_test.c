/* Sealing a store's entries anew: what others do to them meanwhile, stores that fail or cannot do it, and programs that
 * are older than the library. */
#include <cachekit/rotate.h>

#include "cache/sealing_fixture.h"
#include "format/sealed.h"
#include "support/failing_alloc.h"

enum { SHELF = 3 };

/* A store of three entries, and what happens to the one in the middle. */
typedef struct shelf {
    ckit_keyring *former, *rotated, *present;
    ckit_backend *backend;
    ckit_buf      stored[SHELF];
    bool          gone;
    bool          overtaken; /* somebody writes it again before each replacement */
    ckit_status   fails;     /* reading it */
    unsigned      reads;
    ckit_status   goes_on; /* what progress answers ... */
    uint64_t      until;   /* ... after so many */
} shelf;

static const char *const names[SHELF] = {"first", "middle", "last"};

static size_t index_of(ckit_slice key) {
    size_t i = 0;
    while (!ckit_slice_equal(key, S(names[i]))) {
        i++;
        CHECK(i < SHELF);
    }
    return i;
}

static ckit_status get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                       ckit_error *err) {
    shelf       *s = self;
    const size_t i = index_of(key);
    (void)deadline_ms;
    s->reads += i == 1;
    *life_ms = CKIT_LIFE_NO_EXPIRY;
    if (i == 1 && s->fails != CKIT_OK) {
        return ckit_fail(err, s->fails, "shelf", "the one in the middle");
    }
    return i == 1 && s->gone ? CKIT_MISS : ckit_buf_append(out, ckit_buf_slice(&s->stored[i]));
}

static ckit_status list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each, void *context,
                        ckit_error *err) {
    ckit_status st = CKIT_OK;
    (void)self, (void)scope, (void)deadline_ms, (void)err;
    for (size_t i = 0; i < SHELF && st == CKIT_OK; i++) {
        const ckit_listed entry = {.key = S(names[i]), .name = S(names[i])};
        st = each(context, &entry);
    }
    return st;
}

static ckit_status replace(void *self, ckit_slice key, ckit_slice expected, ckit_slice value, uint64_t deadline_ms,
                           ckit_error *err) {
    shelf       *s = self;
    const size_t i = index_of(key);
    (void)deadline_ms, (void)err;
    CHECK_BYTES(ckit_buf_slice(&s->stored[i]), expected);
    if (i == 1 && s->overtaken) {
        return CKIT_MISS;
    }
    s->stored[i].len = 0;
    return ckit_buf_append(&s->stored[i], value);
}

static ckit_status set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info, uint64_t deadline_ms,
                       ckit_error *err) {
    (void)self, (void)key, (void)value, (void)info, (void)deadline_ms, (void)err;
    FAIL("nothing is written but in place of something");
    return CKIT_OK;
}

static ckit_status of_key(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)deadline_ms, (void)err;
    FAIL("nothing is removed");
    return CKIT_OK;
}

static void health(void *self, uint64_t deadline_ms, ckit_health *out) { (void)self, (void)deadline_ms, (void)out; }
static void close_nothing(void *self) { (void)self; }

static const ckit_backend_ops whole = {.abi = CKIT_BACKEND_ABI,
                                       .name = "shelf",
                                       .get = get,
                                       .set = set,
                                       .remove = of_key,
                                       .exists = of_key,
                                       .health = health,
                                       .close = close_nothing,
                                       .list = list,
                                       .replace = replace};

static void shelf_open_with(shelf *s, const ckit_backend_ops *ops) {
    *s = (shelf){.former = ring_of(KEY_A, NULL), .rotated = ring_of(KEY_B, KEY_A), .present = ring_of(KEY_B, NULL)};
    for (size_t i = 0; i < SHELF; i++) {
        const ckiti_sealed_place place = {.ring = s->former, .tenant = S("default"), .key = S(names[i])};
        CHECK_OK(ckiti_sealed_seal(&place, S("\xa5hello"), true, 6, 0, &s->stored[i], NULL));
    }
    CHECK_OK(ckit_backend_new(ops, s, NULL, &s->backend, NULL));
}

static void shelf_open(shelf *s) { shelf_open_with(s, &whole); }

static void shelf_close(shelf *s) {
    ckit_backend_close(s->backend);
    for (size_t i = 0; i < SHELF; i++) {
        ckit_buf_fini(&s->stored[i]);
    }
    ckit_keyring_close(s->former);
    ckit_keyring_close(s->rotated);
    ckit_keyring_close(s->present);
}

static bool opens(const shelf *s, ckit_keyring *ring, size_t i) {
    ckit_buf document = CKIT_BUF_INIT;
    ckiti_sealed_class class;
    const ckiti_sealed_place place = {.ring = ring, .tenant = S("default"), .key = S(names[i])};
    const ckit_status st = ckiti_sealed_open(&place, ckit_buf_slice(&s->stored[i]), true, 0, &document, &class, NULL);
    ckit_buf_fini(&document);
    return st == CKIT_OK;
}

/* The others are sealed with the present key. */
static void check_neighbours(const shelf *s) {
    CHECK(opens(s, s->present, 0));
    CHECK(opens(s, s->present, 2));
}

static ckit_rotation rotate(shelf *s, ckit_status expected) {
    ckit_rotation did = CKIT_ROTATION_INIT;
    ckit_error    err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(expected, ckit_rotate(s->backend, s->rotated, NULL, &did, &err), &err);
    return did;
}

/* ---- what others do ---------------------------------------------------------------------------------------------- */

CKIT_TEST(rotate, leaves_an_entry_that_is_written_again_each_time_to_another_run) {
    shelf s;
    shelf_open(&s);
    s.overtaken = true;
    ckit_rotation did = rotate(&s, CKIT_OK);
    CHECK_EQ_U(2, did.resealed);
    CHECK_EQ_U(1, did.overtaken);
    CHECK_EQ_U(1, did.previous_needed);
    CHECK_BETWEEN_U(2, 10, s.reads); /* it tries more than once, and not for ever */
    CHECK(opens(&s, s.former, 1));
    check_neighbours(&s);
    s.overtaken = false;
    did = rotate(&s, CKIT_OK);
    CHECK_EQ_U(1, did.resealed);
    CHECK_EQ_U(2, did.current);
    CHECK_EQ_U(0, did.previous_needed);
    CHECK(opens(&s, s.present, 1));
    shelf_close(&s);
}

CKIT_TEST(rotate, of_an_entry_that_ends_meanwhile_needs_no_previous_key) {
    shelf s;
    shelf_open(&s);
    s.gone = true;
    ckit_rotation did = rotate(&s, CKIT_OK);
    CHECK_EQ_U(3, did.seen);
    CHECK_EQ_U(1, did.gone);
    CHECK_EQ_U(0, did.previous_needed);
    check_neighbours(&s);
    shelf_close(&s);
}

/* ---- stores that fail -------------------------------------------------------------------------------------------- */

CKIT_TEST(rotate, goes_on_after_an_entry_that_fails_by_itself) {
    shelf s;
    shelf_open(&s);
    s.fails = CKIT_E_TOO_LARGE;
    ckit_rotation did = rotate(&s, CKIT_OK);
    CHECK_EQ_U(2, did.resealed);
    CHECK_EQ_U(1, did.failed);
    CHECK_EQ_U(1, did.previous_needed);
    check_neighbours(&s);
    shelf_close(&s);
}

CKIT_TEST(rotate, ends_where_the_store_fails_as_a_whole_and_says_why) {
    static const ckit_status failures[] = {CKIT_E_UNREACHABLE, CKIT_E_TIMEOUT, CKIT_E_CREDENTIALS};
    for (size_t i = 0; i < COUNT(failures); i++) {
        shelf         s;
        ckit_rotation did = CKIT_ROTATION_INIT;
        ckit_error    err = CKIT_ERROR_INIT;
        shelf_open(&s);
        s.fails = failures[i];
        CHECK_STATUS(failures[i], ckit_rotate(s.backend, s.rotated, NULL, &did, &err));
        CHECK_STATUS(failures[i], err.status);
        CHECK_CONTAINS("the one in the middle", err.text);
        CHECK_EQ_U(2, did.seen);
        CHECK_EQ_U(1, did.resealed); /* what has been done stays done */
        CHECK(opens(&s, s.present, 0) && opens(&s, s.former, 2));
        shelf_close(&s);
    }
}

CKIT_TEST(rotate, survives_the_failure_of_any_allocation) {
    for (uint64_t n = 0;; n++) {
        shelf                 s;
        failing_alloc         fa;
        ckit_rotation         did = CKIT_ROTATION_INIT;
        ckit_rotation_options options = CKIT_ROTATION_OPTIONS_INIT;
        shelf_open(&s);
        failing_alloc_init(&fa, n);
        options.alloc = &fa.alloc;
        const ckit_status st = ckit_rotate(s.backend, s.rotated, &options, &did, NULL);
        failing_alloc_check_empty(&fa);
        for (size_t i = 0; i < SHELF; i++) {
            CHECK(opens(&s, s.rotated, i));
        }
        shelf_close(&s);
        if (!failing_alloc_has_failed(&fa)) {
            CHECK_OK(st);
            CHECK(n > 2);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
    }
}

CKIT_TEST(rotate, says_what_a_store_would_have_to_be_able_to_do) {
    static const char *const texts[] = {"cannot list its entries", "cannot replace one value by another"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        shelf            s;
        ckit_error       err = CKIT_ERROR_INIT;
        ckit_backend_ops ops = whole;
        ops.list = i == 0 ? NULL : ops.list;
        ops.replace = i == 1 ? NULL : ops.replace;
        shelf_open_with(&s, &ops);
        CHECK_STATUS(CKIT_E_UNSUPPORTED, ckit_rotate(s.backend, s.rotated, NULL, NULL, &err));
        CHECK_CONTAINS(texts[i], err.text);
        shelf_close(&s);
    }
}

/* ---- callers ----------------------------------------------------------------------------------------------------- */

static ckit_status end_then(void *context, const ckit_rotation *so_far) {
    const shelf *s = context;
    return so_far->seen >= s->until ? s->goes_on : CKIT_OK;
}

CKIT_TEST(rotate, ends_when_its_caller_does_not_go_on) {
    shelf                 s;
    ckit_rotation         did = CKIT_ROTATION_INIT;
    ckit_rotation_options options = CKIT_ROTATION_OPTIONS_INIT;
    shelf_open(&s);
    s.goes_on = CKIT_E_CANCELLED;
    s.until = 2;
    options.progress = end_then;
    options.context = &s;
    CHECK_STATUS(CKIT_E_CANCELLED, ckit_rotate(s.backend, s.rotated, &options, &did, NULL));
    CHECK_EQ_U(2, did.seen);
    CHECK_EQ_U(2, did.resealed);
    CHECK(opens(&s, s.present, 1) && opens(&s, s.former, 2));
    shelf_close(&s);
}

CKIT_TEST(rotate, of_some_entries_leaves_the_others_alone) {
    shelf                 s;
    ckit_rotation         did = CKIT_ROTATION_INIT;
    ckit_rotation_options options = CKIT_ROTATION_OPTIONS_INIT;
    shelf_open(&s);
    options.key_prefix = S("mid");
    options.max_per_second = CKIT_ROTATE_UNPACED;
    CHECK_OK(ckit_rotate(s.backend, s.rotated, &options, &did, NULL));
    CHECK_EQ_U(1, did.seen);
    CHECK(opens(&s, s.present, 1) && opens(&s, s.former, 0) && opens(&s, s.former, 2));
    shelf_close(&s);
}

CKIT_TEST(rotate, knows_the_structs_of_an_older_program_by_their_size) {
    shelf s;
    struct {
        ckit_rotation did;
        uint64_t      behind;
    } older = {.behind = 4711};
    struct {
        size_t     struct_size;
        ckit_scope scope;
    } options = {sizeof options, {0}};
    shelf_open(&s);
    older.did.struct_size = offsetof(ckit_rotation, current);
    older.did.current = 815;
    CHECK_OK(
        ckit_rotate(s.backend, s.rotated, (const ckit_rotation_options *)(const void *)&options, &older.did, NULL));
    CHECK_EQ_U(3, older.did.resealed);
    CHECK_EQ_U(815, older.did.current);
    CHECK_EQ_U(4711, older.behind);
    shelf_close(&s);
}

CKIT_TEST(rotate, refuses_what_cannot_be_meant) {
    shelf                       s;
    const ckit_rotation_options unsized = {.struct_size = 0};
    ckit_rotation               did = CKIT_ROTATION_INIT;
    shelf_open(&s);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_rotate(NULL, s.rotated, NULL, &did, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_rotate(s.backend, s.rotated, &unsized, &did, NULL));
    CHECK_STATUS(CKIT_E_NO_MASTER_KEY, ckit_rotate(s.backend, NULL, NULL, &did, NULL));
    CHECK_EQ_U(0, did.seen);
    shelf_close(&s);
}
