/* The live feed's memory of its newest events, and positions as text. */
#include <stdlib.h>

#include "gateway/live/position.h"
#include "gateway/live/window.h"
#include "tests/suite.h"

#define PARTITIONS 3

static uint64_t serial;
static uint64_t last[PARTITIONS];

static void push(struct window *w, int32_t partition, int64_t offset)
{
    struct event *e = mem_alloc(sizeof *e);
    atomic_init(&e->references, 1);
    e->partition = partition;
    e->offset = offset;
    e->serial = ++serial;
    e->before = last[partition];
    last[partition] = serial;
    for (enum framing f = 0; f < FRAMINGS; f++)
        e->frames[f] = frame_event(f, STR("{\"type\":\"x\""), STR("id"));
    window_push(w, e);
    event_release(e);
}

static struct window *begin(size_t max_events)
{
    serial = 0;
    memset(last, 0, sizeof last);
    return window_create(PARTITIONS, max_events, 1 << 20);
}

START_TEST(nothing_is_covered_before_every_partition_is_known)
{
    struct window *w = begin(8);
    int64_t from[PARTITIONS] = { 10, 0, 0 };
    push(w, 0, 10);
    ck_assert(!window_covers(w, from));
    window_reached(w, (int64_t[]){ 11, 0, 0 });
    ck_assert(window_covers(w, from));
    from[0] = 9;
    ck_assert(!window_covers(w, from));
    window_destroy(w);
}
END_TEST

START_TEST(the_first_event_from_a_position_on_is_found_across_partitions)
{
    struct window *w = begin(8);
    window_reached(w, (int64_t[]){ 0, 0, 0 });
    push(w, 0, 0); /* serial 1 */
    push(w, 1, 0);
    push(w, 1, 1); /* 3 */
    push(w, 0, 5);
    ck_assert_uint_eq(window_find(w, (int64_t[]){ 0, 0, 0 }), 1);
    ck_assert_uint_eq(window_find(w, (int64_t[]){ 1, 1, 0 }), 3);
    ck_assert_uint_eq(window_find(w, (int64_t[]){ 3, 2, 0 }), 4);
    ck_assert_uint_eq(window_find(w, (int64_t[]){ 6, 2, 0 }), 0);
    ck_assert_uint_eq(window_find(w, (int64_t[]){ 60, 20, 0 }), 0);
    ck_assert_int_eq(window_at(w, 3)->offset, 1);
    ck_assert_ptr_null(window_at(w, 5));
    window_destroy(w);
}
END_TEST

START_TEST(what_was_dropped_is_covered_no_longer)
{
    struct window *w = begin(4);
    window_reached(w, (int64_t[]){ 0, 0, 0 });
    for (int i = 0; i < 4; i++)
        push(w, 0, i);
    ck_assert(window_covers(w, (int64_t[]){ 0, 0, 0 }));
    push(w, 1, 0);
    ck_assert(!window_covers(w, (int64_t[]){ 0, 0, 0 }));
    ck_assert(window_covers(w, (int64_t[]){ 1, 0, 0 }));
    ck_assert_uint_eq(window_find(w, (int64_t[]){ 1, 0, 0 }), 2);
    ck_assert_ptr_null(window_at(w, 1));
    window_destroy(w);
}
END_TEST

START_TEST(a_position_comes_back_from_its_text)
{
    const int64_t position[PARTITIONS] = { 0, 127, INT64_MAX };
    int64_t back[PARTITIONS];
    char text[POSITION_TEXT_SIZE(PARTITIONS)];
    size_t len = position_format(position, PARTITIONS, text);
    ck_assert(position_parse((struct str){ text, len }, PARTITIONS, back));
    ck_assert_mem_eq(back, position, sizeof back);
    ck_assert(!position_parse((struct str){ text, len }, PARTITIONS + 1, back));
    ck_assert(!position_parse((struct str){ text, len - 2 }, PARTITIONS, back));
    ck_assert(!position_parse(STR(""), PARTITIONS, back));
    ck_assert(!position_parse(STR("!!!!"), PARTITIONS, back));
    ck_assert(position_parse(STR("AwABAg"), PARTITIONS, back));  /* 3: 0, 1, 2 */
    ck_assert(!position_parse(STR("BAABAg"), PARTITIONS, back)); /* 4: 0, 1, 2 */
}
END_TEST

START_TEST(a_frame_says_its_length_in_as_few_bytes_as_it_can)
{
    static const struct {
        size_t len, head;
    } cases[] = { { 0, 2 }, { 125, 2 }, { 126, 4 }, { 65535, 4 }, { 65536, 10 } };
    char *payload = calloc(1, 65536);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frame *f = frame_websocket(WEBSOCKET_TEXT, (struct str){ payload, cases[i].len });
        ck_assert_uint_eq(f->len, cases[i].head + cases[i].len);
        ck_assert_int_eq((unsigned char)f->bytes[0], 0x81);
        frame_release(f);
    }
    free(payload);
}
END_TEST

START_TEST(an_event_has_its_id_in_both_framings)
{
    struct frame *f = frame_event(FRAMING_SSE, STR("{\"a\":1"), STR("xyz"));
    ck_assert(str_equal((struct str){ f->bytes, f->len }, STR("id: xyz\ndata: {\"a\":1,\"id\":\"xyz\"}\n\n")));
    frame_release(f);
    f = frame_event(FRAMING_SSE, STR("{\"a\":1"), (struct str){ 0 });
    ck_assert(str_equal((struct str){ f->bytes, f->len }, STR("data: {\"a\":1}\n\n")));
    frame_release(f);
    f = frame_event(FRAMING_WEBSOCKET, STR("{\"a\":1"), STR("xyz"));
    ck_assert(str_equal((struct str){ f->bytes + 2, f->len - 2u }, STR("{\"a\":1,\"id\":\"xyz\"}")));
    frame_release(f);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_test(tests, nothing_is_covered_before_every_partition_is_known);
    tcase_add_test(tests, the_first_event_from_a_position_on_is_found_across_partitions);
    tcase_add_test(tests, what_was_dropped_is_covered_no_longer);
    tcase_add_test(tests, a_position_comes_back_from_its_text);
    tcase_add_test(tests, a_frame_says_its_length_in_as_few_bytes_as_it_can);
    tcase_add_test(tests, an_event_has_its_id_in_both_framings);
}

int main(void)
{
    return suite_run_together("live window", add);
}
