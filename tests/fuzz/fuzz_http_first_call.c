/* fuzz_http_first_call: any bytes as the head of a request. What passes leaves no doubt about where the request ends,
 * and its path and query can be read. */
#include <assert.h>
#include <stdlib.h>

#include "gateway/http/client_address.h"
#include "gateway/http/cors.h"
#include "gateway/http/trace.h"
#include "tests/gateway/http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t count_of(const struct http_head *head, struct str name)
{
    size_t count = 0;
    for (size_t i = 0; i < head->count; i++)
        count += http_equal_caseless(head->headers[i].name, name);
    return count;
}

static void check_framing(const struct http_head *head, const struct http_facts *facts)
{
    size_t lengths = count_of(head, STR("Content-Length")), encodings = count_of(head, STR("Transfer-Encoding"));
    assert(lengths + encodings <= 1);
    assert(facts->chunked == (encodings == 1) && (facts->content_length >= 0) == (lengths == 1));
    assert(count_of(head, STR("Host")) <= 1);
    assert(http_is_token(head->method));
    for (size_t i = 0; i < head->count; i++)
        assert(http_is_token(head->headers[i].name));
}

static void check_target(const struct http_facts *facts, char *buffer)
{
    struct str path = facts->path, query = facts->query, value;
    assert(path.len > 0 && path.ptr[0] == '/' && http_is_utf8(path) && !memchr(path.ptr, '\0', path.len));
    static const char *const names[] = { "limit", "before", "a", "" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (http_query(query, str_of(names[i]), buffer, &value))
            assert(value.len <= query.len && http_is_utf8(value) && !memchr(value.ptr, '\0', value.len));
}

/* Every address is a proxy's, so that both lists are read to their ends. */
static void check_client(const struct http_head *head)
{
    static struct cors cors = { .origins = { "https://a.example" }, .count = 1 };
    struct proxies p = { .networks = { { .bits = 0 } }, .count = 1 };
    struct address peer = { { 0 } };
    for (p.header = PROXY_FORWARDED; p.header <= PROXY_X_FORWARDED_FOR; p.header++)
        (void)client_find(&p, peer, head);
    p.count = 0;
    assert(memcmp(client_find(&p, peer, head).address.bytes, peer.bytes, sizeof peer.bytes) == 0);
    (void)cors_allow(&cors, head);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct http_head head;
    struct http_facts facts;
    struct http_fault fault;
    head_of((struct str){ (const char *)bytes, len }, &head);
    /* Of exactly the promised size, so that a byte too far is seen. */
    char *path = malloc(head.target.len ? head.target.len : 1);
    if (http_check(&head, path, &facts, &fault)) {
        char *value = malloc(facts.query.len ? facts.query.len : 1);
        check_framing(&head, &facts);
        check_target(&facts, value);
        free(value);
    } else {
        assert(fault.status >= 400 && fault.status < 600 && fault.code && fault.detail);
    }
    check_client(&head);
    char trace[TRACEPARENT_LEN + 1];
    trace_continue(facts.traceparent, trace);
    assert(strlen(trace) == TRACEPARENT_LEN);
    (void)http_is_json(facts.content_type);
    free(path);
    return 0;
}
