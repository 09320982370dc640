/* Versions of keys, and writes that an invalidation has overtaken. */
#include "cache/stripes.h"

#include "support/test.h"

/* Keys of one version, told apart by their lower halves. */
#define KEY UINT64_C(0x123400000001)
#define NEIGHBOUR UINT64_C(0x123400000002)
#define THIRD UINT64_C(0x123400000003)
#define FOURTH UINT64_C(0x123400000004)

typedef struct scene {
    ckiti_stripes stripes;
    ckiti_stripe *stripe;
} scene;

static scene *scene_open(void) {
    static scene s;
    memset(&s, 0, sizeof s);
    ckiti_stripes_init(&s.stripes);
    s.stripe = ckiti_stripe_of(&s.stripes, KEY);
    CHECK_EQ_P(s.stripe, ckiti_stripe_of(&s.stripes, NEIGHBOUR));
    CHECK(ckiti_version_of(s.stripe, KEY) == ckiti_version_of(s.stripe, NEIGHBOUR));
    return &s;
}

CKIT_TEST(stripes, a_change_of_the_key_is_noticed) {
    scene   *s = scene_open();
    uint64_t since = ckiti_stripe_version(s->stripe, KEY);
    CHECK(ckiti_stripe_is_unchanged(s->stripe, KEY, since));
    ckiti_stripe_advance(s->stripe, KEY);
    CHECK(!ckiti_stripe_is_unchanged(s->stripe, KEY, since));
    CHECK(ckiti_stripe_is_unchanged(s->stripe, KEY, ckiti_stripe_version(s->stripe, KEY)));
}

CKIT_TEST(stripes, two_changes_of_neighbours_are_no_alarm) {
    scene   *s = scene_open();
    uint64_t since = ckiti_stripe_version(s->stripe, KEY);
    ckiti_stripe_advance(s->stripe, NEIGHBOUR);
    CHECK(ckiti_stripe_is_unchanged(s->stripe, KEY, since));
    CHECK(!ckiti_stripe_is_unchanged(s->stripe, NEIGHBOUR, since));
    ckiti_stripe_advance(s->stripe, THIRD);
    CHECK(ckiti_stripe_is_unchanged(s->stripe, KEY, since));
    CHECK(!ckiti_stripe_is_unchanged(s->stripe, NEIGHBOUR, since));
    CHECK(!ckiti_stripe_is_unchanged(s->stripe, THIRD, since));
}

CKIT_TEST(stripes, a_change_of_the_key_is_noticed_behind_changes_of_neighbours) {
    static const uint64_t orders[][4] = {{KEY, NEIGHBOUR, THIRD, FOURTH},
                                         {NEIGHBOUR, KEY, THIRD, FOURTH},
                                         {NEIGHBOUR, THIRD, KEY, FOURTH},
                                         {NEIGHBOUR, THIRD, FOURTH, KEY}};
    for (size_t o = 0; o < 4; o++) {
        for (size_t count = 1; count <= 4; count++) {
            scene   *s = scene_open();
            uint64_t since = ckiti_stripe_version(s->stripe, KEY);
            bool     changed = false;
            for (size_t i = 0; i < count; i++) {
                ckiti_stripe_advance(s->stripe, orders[o][i]);
                changed |= orders[o][i] == KEY;
            }
            CHECK(!changed || !ckiti_stripe_is_unchanged(s->stripe, KEY, since));
        }
    }
}

CKIT_TEST(stripes, a_version_whose_count_runs_over_is_still_noticed) {
    scene *s = scene_open();
    atomic_store(ckiti_version_of(s->stripe, KEY), UINT64_C(0xffffffff00000007));
    uint64_t since = ckiti_stripe_version(s->stripe, KEY);
    ckiti_stripe_advance(s->stripe, NEIGHBOUR);
    CHECK(ckiti_stripe_is_unchanged(s->stripe, KEY, since));
    ckiti_stripe_advance(s->stripe, KEY);
    CHECK(!ckiti_stripe_is_unchanged(s->stripe, KEY, since));
}

CKIT_TEST(stripes, writes_that_began_before_an_invalidation_are_doomed_until_they_end) {
    scene   *s = scene_open();
    uint64_t early = ckiti_stripe_begin_write(s->stripe);
    CHECK_EQ_U(0, s->stripe->doomed);
    ckiti_stripe_invalidate(s->stripe);
    CHECK_EQ_U(1, s->stripe->doomed);
    uint64_t late = ckiti_stripe_begin_write(s->stripe);
    CHECK_EQ_U(1, s->stripe->doomed);
    ckiti_stripe_end_write(s->stripe, late);
    CHECK_EQ_U(1, s->stripe->doomed);
    late = ckiti_stripe_begin_write(s->stripe);
    ckiti_stripe_invalidate(s->stripe);
    CHECK_EQ_U(2, s->stripe->doomed);
    ckiti_stripe_end_write(s->stripe, early);
    CHECK_EQ_U(1, s->stripe->doomed);
    ckiti_stripe_end_write(s->stripe, late);
    CHECK_EQ_U(0, s->stripe->doomed);
    CHECK_EQ_U(0, s->stripe->writing);
}

CKIT_TEST(stripes, a_forked_child_forgets_its_parent_s_writes) {
    scene   *s = scene_open();
    uint64_t began = ckiti_stripe_begin_write(s->stripe);
    ckiti_stripe_invalidate(s->stripe);
    ckiti_stripes_forget_writers(&s->stripes);
    CHECK_EQ_U(0, s->stripe->doomed);
    ckiti_stripe_end_write(s->stripe, began); /* of the thread that forked */
    CHECK_EQ_U(0, s->stripe->writing);
    CHECK_EQ_U(0, s->stripe->doomed);
}
