/* Arguments: packing, depth, keywords, and reading back. Maps: args_maps_test.c. Of args_pack.c. */
#include "format/args_checks.h"
#include "support/failing_alloc.h"

#include <cachekit/buf.h>
#include <math.h>
#include <stdio.h>

/* ---- packing --------------------------------------------------------------------------------------------- */

CKIT_TEST(args, no_arguments_pack_to_two_empty_containers) {
    ckit_args args;
    ckit_args_init(&args);
    check_packed("92 90 80", &args);
    check_packed("92 90 80", &args);
    ckit_args_fini(&args);
    check_packed("92 90 80", &args);
}

CKIT_TEST(args, packing_again_after_adding_more_packs_all) {
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_int(&args, 42);
    check_packed("92 91 2a 80", &args);
    ckit_args_cstr(&args, "x");
    check_packed("92 92 2a a178 80", &args);
    ckit_args_keyword(&args, S("k"));
    ckit_args_nil(&args);
    check_packed("92 92 2a a178 81 a16b c0", &args);
    ckit_args_keyword(&args, S("a"));
    ckit_args_int(&args, -1);
    check_packed("92 92 2a a178 82 a161 ff a16b c0", &args);
    check_packed("92 92 2a a178 82 a161 ff a16b c0", &args);
    ckit_args_fini(&args);
}

CKIT_TEST(args, the_header_grows_with_the_count_of_arguments) {
    static const struct {
        uint32_t    count;
        const char *head;
    } rows[] = {{15, "92 9f"}, {16, "92 dc0010"}, {65535, "92 dcffff"}, {65536, "92 dd00010000"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_args        args;
        ckit_slice       packed;
        const ckit_slice head = hex_slice(rows[i].head);
        ckit_args_init(&args);
        for (uint32_t n = 0; n < rows[i].count; n++) {
            ckit_args_nil(&args);
        }
        CHECK_OK(ckit_args_pack(&args, &packed, NULL));
        CHECK_EQ_U(head.len + rows[i].count + 1, packed.len);
        CHECK_BYTES(head, ckit_slice_of(packed.ptr, head.len));
        CHECK_EQ_U(0x80, packed.ptr[packed.len - 1]);
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, the_header_grows_with_the_count_of_keywords) {
    static const struct {
        uint32_t    count;
        const char *head;
    } rows[] = {
        {15, "92 91 07 8f"}, {16, "92 91 07 de0010"}, {65535, "92 91 07 deffff"}, {65536, "92 91 07 df00010000"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_args        args;
        ckit_slice       packed;
        const ckit_slice head = hex_slice(rows[i].head);
        ckit_args_init(&args);
        ckit_args_int(&args, 7);
        for (uint32_t n = rows[i].count; n > 0; n--) {
            char name[16];
            snprintf(name, sizeof name, "k%06u", n);
            ckit_args_keyword(&args, S(name));
            ckit_args_nil(&args);
        }
        CHECK_OK(ckit_args_pack(&args, &packed, NULL));
        CHECK_EQ_U(head.len + 9 * (size_t)rows[i].count, packed.len);
        CHECK_BYTES(head, ckit_slice_of(packed.ptr, head.len));
        CHECK_BYTES(S("\xa7k000001\xc0"), ckit_slice_of(packed.ptr + head.len, 9));
        CHECK_OK(ckit_document_check(packed, NULL));
        ckit_reader r;
        CHECK(ckit_args_find_keyword(&args, S("k000002"), &r));
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, values_of_every_length_are_packed_across_the_inline_storage) {
    char text[400];
    memset(text, 'x', sizeof text);
    for (size_t len = 0; len <= sizeof text; len++) {
        ckit_args   args;
        ckit_slice  packed;
        ckit_reader r;
        ckit_args_init(&args);
        ckit_args_str(&args, ckit_slice_of(text, len));
        ckit_args_bytes(&args, ckit_slice_of(text, len));
        ckit_args_int(&args, (int64_t)len);
        CHECK_OK(ckit_args_pack(&args, &packed, NULL));
        CHECK_OK(ckit_document_check(packed, NULL));
        CHECK_EQ_U(3, ckit_args_positional(&args, &r));
        CHECK_BYTES(ckit_slice_of(text, len), ckit_read_str(&r));
        CHECK_BYTES(ckit_slice_of(text, len), ckit_read_bin(&r));
        CHECK_EQ_I((int64_t)len, ckit_read_int(&r));
        CHECK_OK(ckit_reader_finish(&r, NULL));
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, integers_and_text_are_what_they_are) {
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_int(&args, -33);
    ckit_args_uint(&args, 4294967296u);
    ckit_args_str(&args, S_LITERAL("a\0b"));
    ckit_args_cstr(&args, "e\xcc\x81");
    ckit_args_cstr(&args, NULL);
    ckit_args_bytes(&args, S(""));
    check_packed("92 96 d0df cf0000000100000000 a3610062 a365cc81 a0 c400 80", &args);
    ckit_args_fini(&args);
}

/* ---- depth and incomplete arguments ---------------------------------------------------------------------- */

CKIT_TEST(args, arguments_are_nested_510_deep_and_no_deeper) {
    for (uint32_t depth = 509; depth <= 512; depth++) {
        ckit_args  args;
        ckit_slice packed;
        ckit_args_init(&args);
        for (uint32_t i = 0; i < depth; i++) {
            if (i % 2 == 0) {
                ckit_args_array(&args, 1);
            } else {
                ckit_args_map(&args, 1);
                ckit_args_cstr(&args, "k");
            }
        }
        ckit_args_nil(&args);
        if (depth <= CKIT_ARGS_MAX_DEPTH) {
            CHECK_OK(ckit_args_pack(&args, &packed, NULL));
            CHECK_OK(ckit_document_check(packed, NULL));
        } else {
            check_refused(CKIT_E_DEPTH, &args);
        }
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, incomplete_arguments_are_refused_until_they_are_complete) {
    ckit_args   args;
    ckit_reader r;
    ckit_args_init(&args);
    ckit_args_array(&args, 2);
    check_refused(CKIT_E_MISUSE, &args);
    ckit_args_int(&args, 1);
    check_refused(CKIT_E_MISUSE, &args);
    CHECK_EQ_U(0, ckit_args_positional(&args, &r));
    CHECK_EQ_U(CKIT_TYPE_END, ckit_reader_peek(&r));
    ckit_args_int(&args, 2);
    check_packed("92 91 92 01 02 80", &args);
    ckit_args_keyword(&args, S("k"));
    check_refused(CKIT_E_MISUSE, &args);
    CHECK(!ckit_args_find_keyword(&args, S("k"), &r));
    ckit_args_map(&args, 1);
    ckit_args_int(&args, 3);
    check_refused(CKIT_E_MISUSE, &args);
    ckit_args_nil(&args);
    check_packed("92 91 92 01 02 81 a16b 81 03 c0", &args);
    ckit_args_fini(&args);
}

/* ---- keywords -------------------------------------------------------------------------------------------- */

CKIT_TEST(args, keywords_are_sorted_by_code_point_and_not_bound_to_positions) {
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_keyword(&args, S("\xf0\x90\x80\x80"));
    ckit_args_int(&args, 1);
    ckit_args_keyword(&args, S("\xef\xbd\xa1"));
    ckit_args_array(&args, 2);
    ckit_args_int(&args, 2);
    ckit_args_int(&args, 3);
    ckit_args_keyword(&args, S("b"));
    ckit_args_double(&args, -0.0);
    ckit_args_keyword(&args, S(""));
    ckit_args_map(&args, 0);
    check_packed("92 90 84 a0 80 a162 cb0000000000000000 a3efbda1 92 02 03 a4f0908080 01", &args);
    ckit_args_fini(&args);
}

CKIT_TEST(args, bad_keywords_are_refused) {
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_keyword(&args, S("a"));
    ckit_args_int(&args, 1);
    ckit_args_int(&args, 2);
    check_refused(CKIT_E_MISUSE, &args); /* positional behind a keyword */
    ckit_args_fini(&args);

    ckit_args_keyword(&args, S("a"));
    ckit_args_int(&args, 1);
    ckit_args_keyword(&args, S("b"));
    ckit_args_int(&args, 1);
    ckit_args_keyword(&args, S("a"));
    ckit_args_int(&args, 1);
    check_refused(CKIT_E_KEY_ARGUMENT, &args); /* twice */
    check_refused(CKIT_E_KEY_ARGUMENT, &args);
    ckit_args_fini(&args);

    ckit_args_keyword(&args, S("a"));
    ckit_args_keyword(&args, S("b"));
    check_refused(CKIT_E_MISUSE, &args); /* no value */
    ckit_args_fini(&args);

    ckit_args_array(&args, 1);
    ckit_args_keyword(&args, S("a"));
    check_refused(CKIT_E_MISUSE, &args); /* inside an array */
    ckit_args_fini(&args);

    ckit_args_keyword(&args, S("\xff"));
    check_refused(CKIT_E_MISUSE, &args); /* a value may still come */
    ckit_args_int(&args, 1);
    check_refused(CKIT_E_KEY_ARGUMENT, &args);
    ckit_args_keyword(&args, S("a"));
    ckit_args_int(&args, 1);
    check_refused(CKIT_E_KEY_ARGUMENT, &args); /* the failure stays */
    ckit_args_fini(&args);
}

CKIT_TEST(args, the_bypass_keyword_is_not_part_of_the_key) {
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_int(&args, 1);
    ckit_args_keyword(&args, S("_bypass_cache"));
    ckit_args_bool(&args, true);
    check_packed("92 91 01 80", &args);
    ckit_args_keyword(&args, S("x"));
    ckit_args_int(&args, 2);
    ckit_args_keyword(&args, S("_bypass_cache"));
    ckit_args_array(&args, 1);
    ckit_args_cstr(&args, "anything");
    check_packed("92 91 01 81 a178 02", &args);
    ckit_reader r;
    CHECK(!ckit_args_find_keyword(&args, S("_bypass_cache"), &r));
    ckit_args_fini(&args);

    for (char name = 'a'; name < 'a' + 15; name++) {
        ckit_args_keyword(&args, ckit_slice_of(&name, 1));
        ckit_args_nil(&args);
    }
    ckit_args_keyword(&args, S("_bypass_cache"));
    ckit_args_nil(&args);
    ckit_slice packed;
    CHECK_OK(ckit_args_pack(&args, &packed, NULL));
    CHECK_EQ_U(0x8f, packed.ptr[2]);
    CHECK_EQ_U(3 + 15 * 3, packed.len);
    ckit_args_fini(&args);
}

/* ---- reading back, copying, failing ---------------------------------------------------------------------- */

CKIT_TEST(args, a_loader_reads_its_arguments_back) {
    ckit_args   args;
    ckit_reader r;
    ckit_args_init(&args);
    ckit_args_int(&args, 42);
    ckit_args_cstr(&args, "x");
    ckit_args_keyword(&args, S("verbose"));
    ckit_args_bool(&args, true);
    ckit_args_keyword(&args, S("limits"));
    ckit_args_array(&args, 2);
    ckit_args_int(&args, 1);
    ckit_args_int(&args, 2);
    for (int packed_or_not = 0; packed_or_not < 2; packed_or_not++) {
        CHECK_EQ_U(2, ckit_args_positional(&args, &r));
        CHECK_EQ_I(42, ckit_read_int(&r));
        CHECK_TEXT("x", ckit_read_str(&r));
        CHECK_OK(ckit_reader_finish(&r, NULL));
        CHECK(ckit_args_find_keyword(&args, S("verbose"), &r));
        CHECK(ckit_read_bool(&r));
        CHECK_OK(ckit_reader_finish(&r, NULL));
        CHECK(ckit_args_find_keyword(&args, S("limits"), &r));
        CHECK_EQ_U(2, ckit_read_array(&r));
        CHECK(!ckit_args_find_keyword(&args, S("verbos"), &r));
        CHECK_EQ_U(CKIT_TYPE_END, ckit_reader_peek(&r));
        check_packed("92 92 2a a178 82 a66c696d697473 92 01 02 a7766572626f7365 c3", &args);
    }
    ckit_args_fini(&args);
}

CKIT_TEST(args, a_copy_is_independent_and_can_go_on) {
    for (size_t len = 0; len < 300; len += 7) {
        char text[300];
        memset(text, 'x', sizeof text);
        ckit_args  args, copy;
        ckit_slice packed, copied;
        ckit_args_init(&args);
        ckit_args_str(&args, ckit_slice_of(text, len));
        ckit_args_keyword(&args, S("b"));
        ckit_args_map(&args, 1);
        ckit_args_cstr(&args, "k");
        ckit_args_int(&args, 2);
        CHECK_OK(ckit_args_copy(&copy, &args, NULL));
        ckit_args_keyword(&args, S("a"));
        ckit_args_nil(&args);
        ckit_args_keyword(&copy, S("a"));
        ckit_args_nil(&copy);
        CHECK_OK(ckit_args_pack(&args, &packed, NULL));
        CHECK_OK(ckit_args_pack(&copy, &copied, NULL));
        CHECK_BYTES(packed, copied);
        CHECK(packed.ptr != copied.ptr);
        ckit_args_fini(&args);
        CHECK_OK(ckit_args_pack(&copy, &copied, NULL));
        CHECK_OK(ckit_document_check(copied, NULL));
        ckit_args_fini(&copy);
    }
}

CKIT_TEST(args, what_cannot_be_copied_leaves_an_empty_copy) {
    ckit_args args, copy;
    ckit_args_init(&args);
    ckit_args_array(&args, 1);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_args_copy(&copy, &args, NULL));
    check_packed("92 90 80", &copy);
    ckit_args_fini(&copy);
    ckit_args_fini(&args);
    ckit_args_bytes(&args, ckit_slice_of("", (size_t)CKIT_ARGS_MAX_BYTES));
    CHECK_STATUS(CKIT_E_TOO_LARGE, ckit_args_copy(&copy, &args, NULL));
    check_packed("92 90 80", &copy);
    ckit_args_fini(&copy);
    ckit_args_fini(&args);
}

CKIT_TEST(args, what_makes_no_key_can_still_be_read_and_copied) {
    const ckit_datetime naive = {.year = 2024, .month = 1, .day = 1};
    ckit_args           args, copy;
    ckit_reader         r;
    ckit_args_init(&args);
    ckit_args_cstr(&args, "caf\xe9");
    ckit_args_datetime(&args, &naive);
    ckit_args_map(&args, 3);
    ckit_args_cstr(&args, "b");
    ckit_args_int(&args, 1);
    ckit_args_int(&args, 7);
    ckit_args_decimal(&args, S("seven"));
    ckit_args_array(&args, 1);
    ckit_args_path(&args, S("/\xff/"));
    ckit_args_nil(&args);
    ckit_args_keyword(&args, S("k"));
    ckit_args_int(&args, 1);
    ckit_args_keyword(&args, S("k"));
    ckit_args_int(&args, 2);
    check_refused(CKIT_E_KEY_ARGUMENT, &args);
    CHECK_OK(ckit_args_copy(&copy, &args, NULL));
    ckit_args_fini(&args);
    check_refused(CKIT_E_KEY_ARGUMENT, &copy);
    CHECK_EQ_U(3, ckit_args_positional(&copy, &r));
    CHECK_TEXT("caf\xe9", ckit_read_str(&r));
    CHECK_TEXT("2024-01-01T00:00:00", ckit_read_str(&r));
    CHECK_EQ_U(3, ckit_read_map(&r));
    CHECK_TEXT("b", ckit_read_str(&r));
    CHECK_EQ_I(1, ckit_read_int(&r));
    CHECK_EQ_I(7, ckit_read_int(&r));
    CHECK_TEXT("seven", ckit_read_str(&r));
    CHECK_EQ_U(1, ckit_read_array(&r));
    CHECK_TEXT("/\xff", ckit_read_str(&r));
    ckit_read_nil(&r);
    CHECK_OK(ckit_reader_finish(&r, NULL));
    CHECK(ckit_args_find_keyword(&copy, S("k"), &r));
    CHECK_EQ_I(1, ckit_read_int(&r));
    ckit_args_fini(&copy);
}

CKIT_TEST(args, a_lost_value_is_told_before_one_that_makes_no_key) {
    const ckit_datetime wrong = {.year = 2024, .month = 2, .day = 30, .has_offset = true};
    ckit_args           args;
    ckit_reader         r;
    ckit_args_init(&args);
    ckit_args_cstr(&args, "caf\xe9");
    ckit_args_datetime(&args, &wrong);
    ckit_args_cstr(&args, "caf\xe9");
    check_refused(CKIT_E_MISUSE, &args);
    CHECK_EQ_U(0, ckit_args_positional(&args, &r));
    CHECK_EQ_U(CKIT_TYPE_END, ckit_reader_peek(&r));
    ckit_args_fini(&args);
}

/* Everything that can ask for memory: long values, deep nesting, sorting, keywords, a copy. */
static ckit_status give_much(const ckit_alloc *alloc) {
    char text[200];
    memset(text, 'x', sizeof text);
    ckit_args  args, copy;
    ckit_slice packed;
    ckit_args_init_alloc(&args, alloc);
    ckit_args_str(&args, ckit_slice_of(text, sizeof text));
    for (int depth = 0; depth < 100; depth++) {
        ckit_args_array(&args, 1);
    }
    ckit_args_map(&args, 40);
    for (int i = 40; i > 0; i--) {
        ckit_args_int(&args, i);
        ckit_args_str(&args, ckit_slice_of(text, 50));
    }
    for (int i = 20; i > 0; i--) {
        char name[8];
        snprintf(name, sizeof name, "k%02d", i);
        ckit_args_keyword(&args, S(name));
        ckit_args_bytes(&args, ckit_slice_of(text, sizeof text));
    }
    ckit_status st = ckit_args_copy(&copy, &args, alloc);
    if (st == CKIT_OK) {
        st = ckit_args_pack(&copy, &packed, NULL);
    }
    ckit_args_fini(&copy);
    ckit_args_fini(&args);
    return st;
}

/* Encoded by the caller: `count` integers from 0 on below 128, as a door of another language does it. */
static void fill_small_integers(ckit_args *args, uint32_t count) {
    size_t   room, used = 0;
    uint8_t *start = ckit_args_room(args, &room);
    for (uint32_t i = 0; i < count; i++) {
        if (room == used) {
            CHECK_OK(ckit_args_more_room(args, used, 1, &start, &room));
        }
        start[used++] = (uint8_t)(i % 128);
    }
    ckit_args_fill(args, count, used);
}

CKIT_TEST(args, what_the_caller_encodes_packs_like_what_the_library_encodes) {
    static const uint32_t counts[] = {0, 1, 15, 16, 119, 120, 1000, 70000};
    for (size_t i = 0; i < COUNT(counts); i++) {
        ckit_args  filled, added;
        ckit_slice from_filled, from_added;
        ckit_args_init(&filled);
        ckit_args_init(&added);
        fill_small_integers(&filled, counts[i]);
        for (uint32_t j = 0; j < counts[i]; j++) {
            ckit_args_int(&added, j % 128);
        }
        CHECK_OK(ckit_args_pack(&filled, &from_filled, NULL));
        CHECK_OK(ckit_args_pack(&added, &from_added, NULL));
        CHECK_BYTES(from_added, from_filled);
        ckit_args_fini(&filled);
        ckit_args_fini(&added);
    }
}

CKIT_TEST(args, keywords_that_the_caller_encodes_can_be_found_and_copied) {
    static const uint8_t entries[] = {0x82, 0xa1, 'a', 1, 0xa1, 'b', 0xc3};
    ckit_args            args, copy;
    ckit_reader          r;
    size_t               room;
    ckit_args_init(&args);
    fill_small_integers(&args, 2);
    memcpy(ckit_args_room(&args, &room), entries, sizeof entries);
    CHECK(room >= sizeof entries);
    ckit_args_fill_keywords(&args, 2, sizeof entries);
    check_packed("92 92 00 01 82 a161 01 a162 c3", &args);
    CHECK(ckit_args_find_keyword(&args, ckit_slice_str("b"), &r));
    CHECK(ckit_read_bool(&r));
    CHECK_EQ_U(2, ckit_args_positional(&args, &r));
    CHECK_OK(ckit_args_copy(&copy, &args, NULL));
    check_packed("92 92 00 01 82 a161 01 a162 c3", &copy);
    ckit_args_fini(&copy);
    ckit_args_fini(&args);
}

CKIT_TEST(args, room_beyond_the_limit_is_refused_and_remembered) {
    ckit_args           args;
    ckit_slice          packed;
    uint8_t            *start;
    size_t              room;
    static const size_t needs[] = {CKIT_ARGS_MAX_BYTES, CKIT_ARGS_MAX_BYTES + (size_t)1, SIZE_MAX};
    for (size_t i = 0; i < COUNT(needs); i++) {
        ckit_args_init(&args);
        CHECK_EQ_U(CKIT_E_TOO_LARGE, ckit_args_more_room(&args, 0, needs[i], &start, &room));
        CHECK_EQ_U(CKIT_E_TOO_LARGE, ckit_args_pack(&args, &packed, NULL));
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, arguments_survive_the_failure_of_any_allocation) {
    uint64_t n = 0;
    for (;; n++) {
        failing_alloc fa;
        failing_alloc_init(&fa, n);
        const ckit_status st = give_much(&fa.alloc);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) {
            CHECK_OK(st);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
    }
    CHECK(n > 5);
}

CKIT_TEST(args, small_arguments_ask_for_no_memory) {
    failing_alloc fa;
    ckit_args     args;
    ckit_slice    packed;
    failing_alloc_init(&fa, 0);
    ckit_args_init_alloc(&args, &fa.alloc);
    ckit_args_int(&args, 1);
    ckit_args_cstr(&args, "a text of some thirty characters");
    ckit_args_map(&args, 2);
    ckit_args_cstr(&args, "b");
    ckit_args_double(&args, NAN);
    ckit_args_cstr(&args, "a");
    ckit_args_array(&args, 0);
    ckit_args_keyword(&args, S("z"));
    ckit_args_nil(&args);
    ckit_args_keyword(&args, S("y"));
    ckit_args_nil(&args);
    CHECK_OK(ckit_args_pack(&args, &packed, NULL));
    ckit_args_fini(&args);
    ckit_args_fini(NULL);
    CHECK_EQ_U(0, fa.requests);
}
