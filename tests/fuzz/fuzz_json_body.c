/* fuzz_json_body: any bytes as a body. Either it is refused with a 400 that is JSON itself, or every field is what its
 * row says. */
#include <assert.h>
#include <stdlib.h>

#include "gateway/http/http_check.h"
#include "gateway/http/json_arena.h"
#include "tests/gateway/http/thing.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t characters(struct str s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += ((uint8_t)s.ptr[i] & 0xc0) != 0x80;
    return count;
}

static void check_accepted(const struct request *r)
{
    struct str title = body_str(r, "title"), kind = body_str(r, "kind");
    size_t count = characters(title);
    assert(title.ptr && count >= 1 && count <= 10 && http_is_utf8(title) && !memchr(title.ptr, '\0', title.len));
    assert(!kind.ptr || str_equal(kind, STR("public")) || str_equal(kind, STR("private")));
    json_t *number = json_object_get(r->body, "count");
    assert(!number || (json_integer_value(number) >= -5 && json_integer_value(number) <= 100));
    json_t *kinds = json_object_get(r->body, "kinds");
    assert(!kinds || (json_array_size(kinds) >= 1 && json_array_size(kinds) <= 2));
    struct str phone = body_str(r, "phone"), born = body_str(r, "born"), site = body_str(r, "site");
    assert(!phone.ptr || (phone.ptr[0] == '+' && phone.len <= 16));
    assert(!born.ptr || born.len == 10);
    assert(!site.ptr || memcmp(site.ptr, "http", 4) == 0);
}

static void check_refused(const struct request *r)
{
    assert(r->response.status == 400);
    json_t *problem = json_loadb(r->response.body.ptr, r->response.body.len, 0, NULL);
    assert(problem && json_string_length(json_object_get(problem, "detail")) > 0);
    json_decref(problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct request r;
    if (!r.route) {
        json_arena_init();
        arena_init(&r.arena, 0);
        r.route = &route;
    }
    buf_clear(&r.body_bytes);
    buf_append(&r.body_bytes, bytes, len);
    if (body_check(&r))
        check_accepted(&r);
    else
        check_refused(&r);
    r.body = NULL;
    arena_reset(&r.arena);
    return 0;
}
