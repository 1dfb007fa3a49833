/* A page of a list: what ?limit=&cursor= ask for, and the cursor that the client gets for the next one. */
#include <jansson.h>
#include <sodium.h>

#include "gateway/cursor.h"
#include "gateway/gateway.h"
#include "gateway/list.h"
#include "tests/suite.h"

static const uint8_t key[32] = { 4, 5, 6 };
static const struct uuid room = { { 0xab, 1 } }, last = { { 0xcd, 2 } };
static const struct route route = { .method = GET, .path = "/", .name = "things", .query = list_query };
static struct gateway gateway;
static struct request r;
static struct list list;

static bool begin(const char *query)
{
    r.query = str_of(query);
    r.response.status = 0;
    list = (struct list){ .name = list_name(&r, "members", room) };
    return list_begin(&r, &list);
}

/* nextCursor of a page that ends with `last`; NULL: none. */
static const char *next_of(bool more)
{
    struct json j = list_open(&r);
    json_int(&j, 7);
    list_close_id(&r, &j, &list, more, last);
    json_t *page = json_loadb(r.response.body.ptr, r.response.body.len, 0, NULL);
    ck_assert(page && r.response.status == 200);
    ck_assert_int_eq(json_integer_value(json_array_get(json_object_get(page, "items"), 0)), 7);
    const json_t *next = json_object_get(page, "nextCursor");
    ck_assert(more ? json_is_string(next) : json_is_null(next));
    const char *text = more ? arena_str(&r.arena, str_of(json_string_value(next))).ptr : NULL;
    json_decref(page);
    return text;
}

START_TEST(a_list_begins_at_the_beginning_with_fifty)
{
    ck_assert(begin(""));
    ck_assert_int_eq(list.limit, 50);
    ck_assert(list.after.len == 0 && uuid_is_nil(list_after_id(&list)));
    ck_assert(str_equal(list.name, STR("members:ab010000-0000-0000-0000-000000000000")));
    ck_assert(begin("limit=100") && list.limit == 100);
    ck_assert(begin("limit=1") && list.limit == 1);
}
END_TEST

START_TEST(a_page_says_where_the_next_one_begins)
{
    ck_assert(begin(""));
    ck_assert(!next_of(false));
    const char *next = next_of(true);
    ck_assert(begin(arena_printf(&r.arena, "cursor=%s&limit=2", next)));
    ck_assert(uuid_equal(list_after_id(&list), last) && list.limit == 2);
}
END_TEST

static void refuses(const char *query)
{
    ck_assert_msg(!begin(query), "%s", query);
    ck_assert_int_eq(r.response.status, 400);
    const char *said = arena_str(&r.arena, buf_view(&r.response.body)).ptr;
    ck_assert(strstr(said, "\"bad_query\"") && strstr(said, "\"field\":\"cursor\""));
}

START_TEST(a_cursor_that_is_none_of_this_list_is_refused)
{
    ck_assert(begin(""));
    const char *next = next_of(true);
    refuses("cursor=");
    refuses("cursor=abc");
    refuses(arena_printf(&r.arena, "cursor=%sA", next));
    refuses(arena_printf(&r.arena, "cursor=%.*s", (int)strlen(next) - 1, next));
    const char *query = arena_printf(&r.arena, "cursor=%s", next);
    r.query = str_of(query);
    list = (struct list){ .name = list_name(&r, "members", last) }; /* another room */
    ck_assert(!list_begin(&r, &list));
    list = (struct list){ .name = list_name(&r, "bans", room) };
    ck_assert(!list_begin(&r, &list));
    ck_assert(begin(query));
}
END_TEST

START_TEST(a_position_of_another_length_is_no_id)
{
    ck_assert(begin(""));
    struct str text = cursor_format_text(gateway.cursors, &r.arena, list.name, STR("fifteen bytes !"));
    ck_assert(begin(arena_printf(&r.arena, "cursor=%.*s", (int)text.len, text.ptr)));
    ck_assert(list.after.len == 15 && uuid_is_nil(list_after_id(&list)));
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, a_list_begins_at_the_beginning_with_fifty);
    tcase_add_test(tests, a_page_says_where_the_next_one_begins);
    tcase_add_test(tests, a_cursor_that_is_none_of_this_list_is_refused);
    tcase_add_test(tests, a_position_of_another_length_is_no_id);
}

int main(void)
{
    if (sodium_init() < 0)
        return EXIT_FAILURE;
    arena_init(&r.arena, 0);
    gateway.cursors = cursors_create(key);
    r.gateway = &gateway;
    r.route = &route;
    int status = suite_run_together("list", add);
    cursors_destroy(gateway.cursors);
    arena_finish(&r.arena);
    buf_finish(&r.response.body);
    return status;
}
