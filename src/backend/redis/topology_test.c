/* Slots of names, maps of slots and redirections. Of slot.c. */
#include "names.h"
#include "topology.h"

#include "support/test.h"

#include <cachekit/buf.h>

#include <stdio.h>

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static uint16_t slot(const char *name) {
    ckit_slice part = S(name);
    return ckiti_redis_slot(&part, 1);
}

CKIT_TEST(slots, are_those_of_the_specification) {
    CHECK_EQ_U(0x31c3, slot("123456789")); /* the check value of CRC-16/XMODEM */
    CHECK_EQ_U(12182, slot("foo"));
    CHECK_EQ_U(5061, slot("bar"));
    CHECK_EQ_U(0, slot(""));
}

CKIT_TEST(slots, braces_with_something_in_them_decide) {
    CHECK_EQ_U(slot("user1000"), slot("{user1000}.following"));
    CHECK_EQ_U(slot("bar"), slot("foo{bar}{zap}"));
    CHECK_EQ_U(slot("{bar"), slot("foo{{bar}}zap"));
    CHECK(slot("bar") != slot("foo{}{bar}"));
    CHECK(slot("a") != slot("{a"));
    CHECK(ckiti_redis_has_tag(S("x{a}")));
    CHECK(!ckiti_redis_has_tag(S("x{}{a}")));
    CHECK(!ckiti_redis_has_tag(S("}x{")));
}

CKIT_TEST(slots, parts_of_a_name_make_one_name) {
    static const char whole[] = "pre{fix}:ck:{0}";
    for (size_t a = 0; a < sizeof whole; a++) {
        for (size_t b = a; b < sizeof whole; b++) {
            ckit_slice parts[] = {ckit_slice_of(whole, a), ckit_slice_of(whole + a, b - a),
                                  ckit_slice_of(whole + b, sizeof whole - 1 - (b < sizeof whole ? b : b - 1))};
            CHECK_EQ_U(slot(whole), ckiti_redis_slot(parts, 3));
        }
    }
}

static ckiti_redis_tag tags[CKITI_REDIS_SLOTS];

CKIT_TEST(slots, every_one_has_a_tag_that_leads_there) {
    ckiti_redis_tags_make(tags);
    for (uint32_t s = 0; s < CKITI_REDIS_SLOTS; s++) {
        ckit_slice parts[] = {S("x{"), ckit_slice_of(tags[s].text, sizeof tags[s].text), S("}y{z}")};
        CHECK_EQ_U(s, ckiti_redis_slot(parts, 3));
    }
    CHECK(memcmp(tags[slot("0000")].text, "0000", 4) == 0);
}

CKIT_TEST(slots, all_that_belongs_to_an_entry_is_in_its_slot) {
    static const char *const keys[] = {"k",      "a:lock", "ck:x",     "{t}k",   "k{t}", "k{}",
                                       "{}",     "a}b",    "{",        "}{",     "{a",   "a{b",
                                       "x{}{t}", "{:lock", "{t}:lock", "ck:{t}", "{0}k", "ck:lock{0000}:k"};
    static const char *const prefixes[] = {"", "t:", "}", "{all}:", "x{all}"};
    ckiti_redis_tags_make(tags);
    for (size_t p = 0; p < sizeof prefixes / sizeof prefixes[0]; p++) {
        ckiti_redis_naming n = {S(prefixes[p]), ckiti_redis_has_tag(S(prefixes[p])) ? NULL : tags};
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
            char       hash[CKITI_REDIS_HASH_DIGITS], room[CKITI_REDIS_INDEX_ROOM];
            ckit_slice key = S(keys[i]);
            uint16_t   expected = ckiti_redis_slot_of(n.prefix, key);
            ckiti_redis_namespace_hash(hash, S("n"));
            ckiti_redis_name names[] = {ckiti_redis_lock_name(&n, key), ckiti_redis_fence_name(&n, key),
                                        ckiti_redis_owner_name(&n, key),
                                        ckiti_redis_index_name(&n, key, ckit_slice_of(hash, sizeof hash))};
            for (size_t k = 0; k < 4; k++) {
                CHECK_EQ_U(expected, ckiti_redis_slot(names[k].parts, names[k].count));
            }
            ckit_slice beginning = ckiti_redis_index_beginning(&n, key, room);
            memcpy(room + beginning.len, hash, sizeof hash);
            CHECK(ckiti_redis_is_index(&n, ckit_slice_of(room, beginning.len + sizeof hash)));
            CHECK(!ckiti_redis_is_index(&n, beginning));
        }
    }
}

/* ---- redirections ------------------------------------------------------------------------------------------------ */

static ckiti_redis_turned turned(const char *text, ckiti_redis_redirection *to) {
    return ckiti_redis_redirection_read(S(text), to);
}

CKIT_TEST(redirections, tell_slot_and_place) {
    ckiti_redis_redirection to;
    CHECK_EQ_I(CKITI_REDIS_MOVED, turned("MOVED 3999 127.0.0.1:6381", &to));
    CHECK_EQ_U(3999, to.slot);
    CHECK_STR("127.0.0.1", to.to.host);
    CHECK_EQ_U(6381, to.to.port);
    CHECK_EQ_I(CKITI_REDIS_ASK, turned("ASK 16383 ::1:7000", &to));
    CHECK_STR("::1", to.to.host);
    CHECK_EQ_I(CKITI_REDIS_MOVED, turned("MOVED 0 :7000", &to));
    CHECK_STR("", to.to.host);
    CHECK_EQ_I(CKITI_REDIS_LATER, turned("TRYAGAIN Multiple keys request during rehashing of slot", &to));
    CHECK_EQ_I(CKITI_REDIS_DOWN, turned("CLUSTERDOWN Hash slot not served", &to));
    CHECK_EQ_I(CKITI_REDIS_DOWN, turned("READONLY You can't", &to));
}

CKIT_TEST(redirections, that_lead_nowhere_are_errors_like_others) {
    static const char *const texts[] = {"MOVED",
                                        "MOVED ",
                                        "MOVED 1",
                                        "MOVED 1 ",
                                        "MOVED x h:1",
                                        "MOVED 16384 h:1",
                                        "MOVED -1 h:1",
                                        "MOVED 1 h:0",
                                        "MOVED 1 h:",
                                        "MOVED 1 h",
                                        "MOVED 1 h:65536",
                                        "MOVED 1 h:1x",
                                        "MOVED 1 a b:1",
                                        "ASK 1 h\n:1",
                                        "MOVEDX 1 h:1",
                                        "ERR no",
                                        "",
                                        "MOVED 99999999999999999999 h:1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ckiti_redis_redirection to;
        CHECK_EQ_I(CKITI_REDIS_NOT_TURNED, turned(texts[i], &to));
    }
}

/* ---- maps -------------------------------------------------------------------------------------------------------- */

static ckiti_redis_map map;

static ckit_status read_map(const char *reply) {
    ckiti_resp_reader r;
    ckiti_resp_item   item;
    struct iovec      parts[2];
    CHECK_OK(ckiti_resp_reader_init(&r, NULL));
    ckiti_redis_map_init(&map, NULL, "asked");
    (void)ckiti_resp_room(&r, parts);
    memcpy(parts[0].iov_base, reply, strlen(reply));
    ckiti_resp_fed(&r, strlen(reply));
    while (ckiti_resp_next(&r, &item) == CKITI_RESP_ITEM) {
        ckiti_redis_map_take(&map, &item);
    }
    ckiti_resp_reader_fini(&r);
    return map.status;
}

#define NODE_A "*4\r\n$1\r\na\r\n:1\r\n$2\r\nid\r\n*2\r\n$8\r\nhostname\r\n$1\r\nx\r\n"
#define NODE_B "*3\r\n$1\r\nb\r\n:2\r\n$2\r\nid\r\n"

CKIT_TEST(maps, give_each_slot_its_master) {
    CHECK_OK(read_map("*3\r\n*4\r\n:0\r\n:99\r\n" NODE_A NODE_B "*3\r\n:100\r\n:200\r\n" NODE_B
                      "*3\r\n:202\r\n:16383\r\n" NODE_A));
    CHECK_EQ_U(2, map.count);
    CHECK_STR("a", map.masters[map.owner[99] - 1].host);
    CHECK_STR("b", map.masters[map.owner[100] - 1].host);
    CHECK_EQ_U(0, map.owner[201]);
    CHECK_EQ_U(1, map.masters[map.owner[16383] - 1].port);
    CHECK_EQ_U(1, map.spare_count);
    CHECK_STR("b", map.spares[0].host);
    ckiti_redis_map_fini(&map);
}

CKIT_TEST(maps, an_empty_name_is_the_host_that_was_asked_and_an_unknown_one_is_nobody) {
    CHECK_OK(read_map("*3\r\n*3\r\n:0\r\n:1\r\n*2\r\n$0\r\n\r\n:5\r\n*3\r\n:2\r\n:3\r\n*2\r\n_\r\n:6\r\n"
                      "*3\r\n:4\r\n:5\r\n*2\r\n$1\r\n?\r\n:7\r\n"));
    CHECK_STR("asked", map.masters[map.owner[0] - 1].host);
    CHECK_EQ_U(6, map.masters[map.owner[2] - 1].port);
    CHECK_EQ_U(0, map.owner[4]);
    ckiti_redis_map_fini(&map);
}

CKIT_TEST(maps, that_are_none_are_refused) {
    static const char *const replies[] = {"+OK\r\n",
                                          ":1\r\n",
                                          "*1\r\n:1\r\n",
                                          "*1\r\n*2\r\n:0\r\n:1\r\n",
                                          "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE_B,
                                          "*1\r\n*3\r\n:-1\r\n:1\r\n" NODE_B,
                                          "*1\r\n*3\r\n:2\r\n:1\r\n" NODE_B,
                                          "*1\r\n*3\r\n$1\r\n0\r\n:1\r\n" NODE_B,
                                          "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n",
                                          "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:0\r\n",
                                          "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:65536\r\n",
                                          "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\n \r\n:1\r\n",
                                          "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n:1\r\n:1\r\n",
                                          "*1\r\n*3\r\n:0\r\n:1\r\n:1\r\n",
                                          "*2\r\n*3\r\n:0\r\n:16383\r\n" NODE_B "*3\r\n:0\r\n:0\r\n" NODE_A};
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        CHECK_STATUS(CKIT_E_IO, read_map(replies[i]));
        ckiti_redis_map_fini(&map);
    }
}

/* ---- what a node says about itself ------------------------------------------------------------------------------- */

static void note_slots(void *context, uint16_t first, uint16_t last, bool moving) {
    char  *told = context;
    size_t len = strlen(told);
    snprintf(told + len, 200 - len, "%s%u-%u ", moving ? "!" : "", first, last);
}

#define ABOUT "127.0.0.1:7000@17000,a.example "
#define STATE " - 0 1426238317239 4 connected"

CKIT_TEST(nodes, tell_their_own_slots_and_those_that_are_moving) {
    static const struct {
        const char *line, *slots;
    } rows[] = {{" 0-5460 5462 16383-16383", "0-5460 5462-5462 16383-16383 "},
                {" 1-2 [93->-292f] [77-<-67ed]", "1-2 !93-93 !77-77 "},
                {" 5-4 16384 -3 x 7-16384 3- 4-x [] [x->-y] 99999999999 9", "9-9 "},
                {"", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[600], told[200] = "";
        snprintf(text, sizeof text,
                 "67ed " ABOUT "master" STATE " 1\n292f " ABOUT "myself,master" STATE "%s\ne7d1 " ABOUT
                 "slave 67ed" STATE "\n",
                 rows[i].line);
        CHECK(ckiti_redis_own_slots_read(S(text), note_slots, told));
        CHECK_STR(rows[i].slots, told);
    }
}

CKIT_TEST(nodes, say_nothing_of_themselves_in_what_is_no_such_text) {
    static const char *const texts[] = {"", "\n\n", "myself", "a b notmyself,master - 0 0 1 connected 1-2\n",
                                        "a b - myself 0 0 1 connected 1\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char told[200] = "";
        CHECK(!ckiti_redis_own_slots_read(S(texts[i]), note_slots, told));
        CHECK_STR("", told);
    }
}
