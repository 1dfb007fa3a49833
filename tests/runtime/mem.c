#include "ops/runtime/mem.h"

#include <malloc.h>
#include <signal.h>
#include <stdint.h>

#include "tests/runtime/allocations.h"
#include "tests/suite.h"

START_TEST(a_buffer_grows_and_keeps_what_is_in_it)
{
    struct buf b = { 0 };
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    buf_char(&b, '\0');
    ck_assert_uint_eq(b.len, 10 * 2 + 90 * 3 + 900 * 4 + 1);
    ck_assert_int_eq(memcmp(b.ptr, "0,1,2,3,", 8), 0);
    ck_assert_str_eq(b.ptr + b.len - 9, "998,999,");
    buf_finish(&b);
    ck_assert_ptr_null(b.ptr);
}
END_TEST

START_TEST(a_cleared_buffer_keeps_its_memory)
{
    struct buf b = { 0 };
    buf_str(&b, STR("some text that needs room"));
    buf_clear(&b);
    const size_t before = allocations();
    for (int i = 0; i < 1000; i++) {
        buf_clear(&b);
        buf_printf(&b, "%d bottles", i);
    }
    ck_assert_uint_eq(allocations(), before);
    ck_assert_uint_eq(b.len, 11);
    buf_finish(&b);
}
END_TEST

START_TEST(printing_exactly_what_fits_loses_nothing)
{
    for (size_t len = 120; len < 140; len++) {
        struct buf b = { 0 };
        buf_printf(&b, "%*s", (int)len, "x");
        ck_assert_uint_eq(b.len, len);
        ck_assert_int_eq(b.ptr[len - 1], 'x');
        buf_finish(&b);
    }
}
END_TEST

START_TEST(nothing_appended_is_nothing)
{
    struct buf b = { 0 };
    buf_append(&b, NULL, 0);
    buf_str(&b, (struct str){ 0 });
    ck_assert_uint_eq(b.len, 0);
    ck_assert(str_equal(buf_view(&b), (struct str){ "", 0 }));
}
END_TEST

START_TEST(arena_memory_is_zeroed_aligned_and_apart)
{
    struct arena a;
    arena_init(&a, 0);
    for (int round = 0; round < 3; round++) {
        unsigned char *previous = NULL;
        for (size_t size = 1; size < 3000; size += 7) {
            unsigned char *p = arena_alloc(&a, size);
            ck_assert_uint_eq((uintptr_t)p % 16, 0);
            size_t set = 0;
            for (size_t i = 0; i < size; i++)
                set += p[i] != 0;
            ck_assert_uint_eq(set, 0);
            memset(p, 0xff, size);
            if (previous)
                ck_assert_uint_eq(previous[size - 8], 0xff);
            previous = p;
        }
        arena_reset(&a);
    }
    arena_finish(&a);
}
END_TEST

START_TEST(arena_strings_are_copies_with_a_nul_behind)
{
    struct arena a;
    arena_init(&a, 64);
    char original[] = "hello";
    const struct str copy = arena_str(&a, (struct str){ original, 5 });
    original[0] = 'j';
    ck_assert_str_eq(copy.ptr, "hello");
    ck_assert_str_eq(arena_str(&a, (struct str){ 0 }).ptr, "");
    ck_assert_str_eq(arena_printf(&a, "%s %d", copy.ptr, 42), "hello 42");
    for (int len = 250; len < 260; len++) {
        const char *text = arena_printf(&a, "%*s", len, "x");
        ck_assert_uint_eq(strlen(text), (size_t)len);
        ck_assert_int_eq(text[len - 1], 'x');
    }
    arena_finish(&a);
}
END_TEST

START_TEST(nothing_is_left_of_what_was_in_an_arena_that_is_wiped)
{
    enum { PIECES = 40, SIZE = 100 };
    struct arena a;
    arena_init(&a, 1024);
    const char *first[PIECES];
    for (int i = 0; i < PIECES; i++) /* four blocks of them */
        first[i] = memset(arena_alloc_raw(&a, SIZE), 's', SIZE);
    arena_wipe(&a);
    for (int i = 0; i < PIECES; i++) {
        const char *again = arena_alloc_raw(&a, SIZE);
        ck_assert_ptr_eq(again, first[i]);
        ck_assert_ptr_null(memchr(again, 's', SIZE));
    }
    arena_wipe(&a);
    arena_wipe(&a); /* empty */
    arena_finish(&a);
}
END_TEST

static void one_batch(struct arena *a, unsigned seed)
{
    for (int i = 0; i < 500; i++) {
        seed = seed * 1103515245u + 12345u;
        arena_alloc(a, seed >> 16 & 1023);
    }
    arena_alloc(a, 70000); /* larger than a block */
    arena_reset(a);
}

START_TEST(batches_after_the_first_ones_allocate_nothing)
{
    struct arena a;
    arena_init(&a, 0);
    for (unsigned i = 0; i < 20; i++)
        one_batch(&a, i);
    const size_t before = allocations();
    for (unsigned i = 0; i < 1000; i++)
        one_batch(&a, i);
    ck_assert_uint_eq(allocations(), before);
    arena_finish(&a);
}
END_TEST

START_TEST(the_counter_sees_an_allocation)
{
    const size_t before = allocations();
    struct arena a;
    arena_init(&a, 0);
    arena_alloc(&a, 1);
    ck_assert_uint_eq(allocations(), before + 1);
    arena_finish(&a);
}
END_TEST

START_TEST(a_batch_as_large_as_no_other_gives_its_memory_back)
{
    struct arena a;
    arena_init(&a, 0);
    for (int i = 0; i < 64; i++)
        memset(arena_alloc_raw(&a, 1 << 20), 1, 1 << 20);
    const size_t held = mallinfo2().hblkhd + mallinfo2().uordblks;
    arena_reset(&a);
    const size_t kept = mallinfo2().hblkhd + mallinfo2().uordblks;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_uint_gt(held, 64u << 20);
    ck_assert_uint_lt(kept, 4u << 20);
#endif
    (void)held, (void)kept;
    arena_finish(&a);
}
END_TEST

START_TEST(an_impossible_size_ends_the_process)
{
    struct arena a;
    arena_init(&a, 0);
    arena_alloc_raw(&a, SIZE_MAX - 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mem");
    TCase *t = suite_case("mem");
    tcase_add_test(t, a_buffer_grows_and_keeps_what_is_in_it);
    tcase_add_test(t, a_cleared_buffer_keeps_its_memory);
    tcase_add_test(t, printing_exactly_what_fits_loses_nothing);
    tcase_add_test(t, nothing_appended_is_nothing);
    tcase_add_test(t, arena_memory_is_zeroed_aligned_and_apart);
    tcase_add_test(t, arena_strings_are_copies_with_a_nul_behind);
    tcase_add_test(t, nothing_is_left_of_what_was_in_an_arena_that_is_wiped);
    tcase_add_test(t, batches_after_the_first_ones_allocate_nothing);
    tcase_add_test(t, the_counter_sees_an_allocation);
    tcase_add_test(t, a_batch_as_large_as_no_other_gives_its_memory_back);
    tcase_add_test_raise_signal(t, an_impossible_size_ends_the_process, SIGABRT);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
