/* One value for another while others write, remove and touch the entry: nobody's newer value is lost. */
#include "file_fixture.h"

#include <errno.h>
#include <stdio.h>

typedef struct scene {
    faulty_io io;
    fixture   f;
    unsigned  writes; /* that somebody else still makes, each at the next exchange */
    char      newest[32];
} scene;

static void scene_open(scene *s) {
    memset(s, 0, sizeof *s);
    fixture_open_faulty(&s->f, &s->io);
    CHECK_OK(fixture_set(&s->f, "k", "old", 60000));
    for (size_t i = 0; i < FAULTY_KINDS; i++) {
        s->io.calls[i] = 0;
    }
}

static ckit_status replace(scene *s) {
    return s->f.ops->replace(s->f.self, S("k"), S("old"), S("resealed"), CKIT_NO_DEADLINE, NULL);
}

static void at(scene *s, faulty_kind kind, uint64_t number, void (*meanwhile)(void *context)) {
    s->io.meanwhile_kind = kind;
    s->io.meanwhile_at = number;
    s->io.meanwhile = meanwhile;
    s->io.context = s;
}

static void write_newer(void *context) {
    scene *s = context;
    (void)snprintf(s->newest, sizeof s->newest, "newer, %u to come", --s->writes);
    CHECK_OK(fixture_set(&s->f, "k", s->newest, 60000));
    if (s->writes > 0) {
        at(s, FAULTY_EXCHANGE, s->io.calls[FAULTY_EXCHANGE], write_newer);
    }
}

/* Before each of its system calls in turn. */
CKIT_TEST(replace, what_somebody_writes_at_any_moment_is_there_afterwards) {
    for (faulty_kind kind = FAULTY_OPEN; kind < FAULTY_KINDS; kind++) {
        for (uint64_t number = 0; number < 20; number++) {
            scene s;
            scene_open(&s);
            s.writes = 1;
            at(&s, kind, number, write_newer);
            ckit_status st = replace(&s);
            bool        met = s.io.meanwhile == NULL;
            s.io.meanwhile = NULL;
            CHECK(st == CKIT_OK || (st == CKIT_MISS && met));
            fixture_expect(&s.f, "k", met ? s.newest : "resealed");
            CHECK_EQ_U(0, fixture_temps(&s.f));
            CHECK_EQ_U(1, fixture_entries(&s.f));
            fixture_close(&s.f);
            if (!met) {
                break;
            }
        }
    }
}

CKIT_TEST(replace, of_several_writes_in_between_the_last_one_stays) {
    for (unsigned writes = 1; writes < 5; writes++) {
        scene s;
        scene_open(&s);
        s.writes = writes;
        at(&s, FAULTY_EXCHANGE, 0, write_newer);
        CHECK_STATUS(CKIT_MISS, replace(&s));
        CHECK_EQ_U(0, s.writes);
        fixture_expect(&s.f, "k", s.newest);
        CHECK_EQ_U(0, fixture_temps(&s.f));
        fixture_close(&s.f);
    }
}

static void remove_it(void *context) {
    scene *s = context;
    CHECK_OK(s->f.ops->remove(s->f.self, S("k"), CKIT_NO_DEADLINE, NULL));
}

CKIT_TEST(replace, what_somebody_removes_in_between_stays_away) {
    scene s;
    scene_open(&s);
    at(&s, FAULTY_EXCHANGE, 0, remove_it);
    CHECK_STATUS(CKIT_MISS, replace(&s));
    fixture_expect(&s.f, "k", NULL);
    CHECK_EQ_U(0, fixture_temps(&s.f));
    fixture_close(&s.f);
}

CKIT_TEST(replace, a_file_system_that_cannot_exchange_is_told_and_nothing_changes) {
    scene      s;
    ckit_error err = CKIT_ERROR_INIT;
    scene_open(&s);
    faulty_io_fail(&s.io, FAULTY_EXCHANGE, 0, EINVAL);
    CHECK_STATUS(CKIT_E_UNSUPPORTED,
                 s.f.ops->replace(s.f.self, S("k"), S("old"), S("resealed"), CKIT_NO_DEADLINE, &err));
    CHECK_CONTAINS("cannot exchange", err.text);
    fixture_expect(&s.f, "k", "old");
    CHECK_EQ_U(0, fixture_temps(&s.f));
    fixture_close(&s.f);
}

CKIT_TEST(replace, an_entry_that_has_ended_is_a_miss) {
    scene s;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 61000);
    CHECK_STATUS(CKIT_MISS, replace(&s));
    fixture_close(&s.f);
}

CKIT_TEST_MAIN()
