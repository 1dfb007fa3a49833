/* The page cache: a page is what was put under exactly its name, or it is not there. */
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>

#include "gateway/rooms/page_cache.h"
#include "tests/suite.h"

static struct page_key key_of(uint32_t room, int64_t version, int64_t from, int64_t to)
{
    struct page_key key = { .version = version, .from = from, .to = to };
    memcpy(key.room.bytes, &room, sizeof room);
    return key;
}

/* One assertion a page: those of Check cost more than what they look at. */
static bool is_all(const struct buf *page, uint32_t byte)
{
    for (size_t i = 0; i < page->len; i++)
        if ((uint8_t)page->ptr[i] != byte)
            return false;
    return true;
}

START_TEST(a_page_is_found_under_its_name_only_and_for_a_minute)
{
    /* In a small one all names are in one bucket, so that only the name tells them apart. */
    struct page_cache *c = page_cache_create(_i ? 1 << 20 : 2000);
    struct buf out = { 0 };
    struct page_key key = key_of(1, 7, 1, 50), others[] = {
        key_of(2, 7, 1, 50), key_of(1, 8, 1, 50), key_of(1, 7, 2, 50), key_of(1, 7, 1, 49), key, key
    };
    others[4].order = 1;
    others[5].viewer.bytes[0] = 1;
    ck_assert(!page_cache_get(c, &key, 0, &out));
    page_cache_put(c, &key, 0, STR("a page"));
    buf_str(&out, STR("before: "));
    ck_assert(page_cache_get(c, &key, 59999999, &out));
    ck_assert(str_equal(buf_view(&out), STR("before: a page")));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert(!page_cache_get(c, &others[i], 0, &out));
    ck_assert(!page_cache_get(c, &key, 60000000, &out));
    page_cache_put(c, &key, 60000000, STR("again"));
    ck_assert(page_cache_get(c, &key, 60000001, &out));
    buf_finish(&out);
    page_cache_destroy(c);
}
END_TEST

START_TEST(the_oldest_pages_give_way_and_the_others_stay_whole)
{
    struct page_cache *c = page_cache_create(64 * 1024);
    struct buf out = { 0 };
    char page[4000];
    for (uint32_t i = 0; i < 2000; i++) {
        size_t len = 1 + randombytes_uniform(sizeof page);
        memset(page, (int)(i % 251), len);
        struct page_key key = key_of(i, 1, 1, 50);
        page_cache_put(c, &key, 0, (struct str){ page, len });
        ck_assert(page_cache_get(c, &key, 0, &out));
        ck_assert_uint_eq(out.len, len);
        buf_clear(&out);
        size_t found = 0;
        for (uint32_t k = 0; k <= i; k++) {
            struct page_key old = key_of(k, 1, 1, 50);
            if (!page_cache_get(c, &old, 0, &out))
                continue;
            found++;
            ck_assert(is_all(&out, k % 251));
            buf_clear(&out);
        }
        ck_assert_uint_le(found, 64);
        if (i > 100)
            ck_assert_uint_ge(found, 5);
        i += i > 200 ? 50 : 0;
    }
    buf_finish(&out);
    page_cache_destroy(c);
}
END_TEST

/* Keys that meet in a bucket do not drive each other out while there is room for all. */
START_TEST(a_quarter_full_cache_has_what_was_put)
{
    enum { PAGES = 2048 };
    struct page_cache *c = page_cache_create(4 << 20);
    struct buf out = { 0 };
    size_t found = 0;
    for (uint32_t i = 0; i < PAGES; i++) {
        struct page_key key = key_of(i, 1, 1, 50);
        page_cache_put(c, &key, 0, STR("a room"));
    }
    for (uint32_t i = 0; i < PAGES; i++) {
        struct page_key key = key_of(i, 1, 1, 50);
        found += page_cache_get(c, &key, 0, &out);
    }
    ck_assert_uint_ge(found, PAGES - PAGES / 100);
    buf_finish(&out);
    page_cache_destroy(c);
}
END_TEST

START_TEST(a_page_too_large_is_not_kept_and_a_cache_of_nothing_keeps_nothing)
{
    static char page[9000];
    struct page_key key = key_of(1, 1, 1, 1);
    struct buf out = { 0 };
    struct page_cache *small = page_cache_create(64 * 1024), *none = page_cache_create(0);
    page_cache_put(small, &key, 0, (struct str){ page, sizeof page });
    ck_assert(!page_cache_get(small, &key, 0, &out));
    page_cache_put(none, &key, 0, STR("x"));
    ck_assert(!page_cache_get(none, &key, 0, &out));
    page_cache_destroy(small);
    page_cache_destroy(none);
    buf_finish(&out);
}
END_TEST

/* People write what stands in pages, so what lies over an old page may look like one. */
START_TEST(text_that_looks_like_a_page_where_an_old_one_was_is_not_served)
{
    struct page_cache *c = page_cache_create(64 * 1024);
    struct page_key first = key_of(1, 1, 1, 1), old = key_of(2, 1, 1, 1);
    const struct {
        struct page_key key;
        int64_t ends_us;
        size_t len;
    } made_up = { old, INT64_MAX, 6 };
    struct buf out = { 0 };
    static char page[4096];
    page_cache_put(c, &first, 0, (struct str){ page, 64 }); /* 128 bytes, so `old` lies at 128 */
    page_cache_put(c, &old, 0, STR("honest"));
    for (size_t at = 0; at + sizeof made_up <= sizeof page; at += sizeof made_up)
        memcpy(page + at, &made_up, sizeof made_up);
    for (uint32_t i = 10; i < 26; i++) {
        struct page_key key = key_of(i, 1, 1, 1);
        page_cache_put(c, &key, 0, (struct str){ page, sizeof page });
    }
    ck_assert(!page_cache_get(c, &old, 0, &out));
    buf_finish(&out);
    page_cache_destroy(c);
}
END_TEST

static void *put_and_get(void *argument)
{
    struct page_cache *c = argument;
    struct buf out = { 0 };
    char page[300];
    void *good = c;
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t room = randombytes_uniform(200);
        struct page_key key = key_of(room, 1, 1, 50);
        buf_clear(&out);
        if (page_cache_get(c, &key, 0, &out)) {
            if (!is_all(&out, room))
                good = NULL;
        } else {
            memset(page, (int)room, sizeof page);
            page_cache_put(c, &key, 0, (struct str){ page, 1 + randombytes_uniform(sizeof page) });
        }
    }
    buf_finish(&out);
    return good;
}

START_TEST(threads_share_it)
{
    struct page_cache *c = page_cache_create(16 * 1024);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, put_and_get, c), 0);
    for (int i = 0; i < 4; i++) {
        void *good;
        pthread_join(threads[i], &good);
        ck_assert_ptr_nonnull(good);
    }
    page_cache_destroy(c);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_loop_test(tests, a_page_is_found_under_its_name_only_and_for_a_minute, 0, 2);
    tcase_add_test(tests, the_oldest_pages_give_way_and_the_others_stay_whole);
    tcase_add_test(tests, a_quarter_full_cache_has_what_was_put);
    tcase_add_test(tests, a_page_too_large_is_not_kept_and_a_cache_of_nothing_keeps_nothing);
    tcase_add_test(tests, text_that_looks_like_a_page_where_an_old_one_was_is_not_served);
    tcase_add_test(tests, threads_share_it);
}

int main(void)
{
    return sodium_init() < 0 ? EXIT_FAILURE : suite_run_together("page cache", add);
}
