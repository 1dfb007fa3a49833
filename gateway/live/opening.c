#include "gateway/live/opening.h"

#include <microhttpd.h>
#include <stdio.h>

#include "gateway/gateway.h"
#include "gateway/http/http_check.h"
#include "gateway/limits/rate_limits.h"
#include "gateway/live/position.h"
#include "gateway/live/websocket.h"
#include "gateway/resources.h"
#include "gateway/tokens/token.h"

#define PROTOCOL "aether.v1"
#define BEARER   "bearer."

const struct body_field live_query[] = {
    { "lastEventId", FIELD_TEXT, .max = 4096, .doc = "Goes on behind the event with this id; as Last-Event-ID." },
    { "ticket", FIELD_TEXT, .max = 64, .doc = "Of POST /live/tickets, in place of a token." },
    { "hold", FIELD_BOOL, .doc = "A WebSocket that says first what it has seen (the command resume)." },
    { 0 },
};

static struct str header(const struct request *r, const char *name)
{
    return str_of(MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name));
}

/* Takes the next element off a list (RFC 9110, section 5.6.1). */
static bool next_element(struct str *list, struct str *ret)
{
    while (list->len > 0 && strchr(" \t,", *list->ptr))
        *list = (struct str){ list->ptr + 1, list->len - 1 };
    if (list->len == 0)
        return false;
    size_t len = 0;
    while (len < list->len && list->ptr[len] != ',')
        len++;
    *ret = (struct str){ list->ptr, len };
    *list = (struct str){ list->ptr + len, list->len - len };
    while (ret->len > 0 && strchr(" \t", ret->ptr[ret->len - 1]))
        ret->len--;
    return true;
}

static bool has_element(struct str list, struct str wanted)
{
    struct str element;
    while (next_element(&list, &element))
        if (http_equal_caseless(element, wanted))
            return true;
    return false;
}

/* --- who --- */

/* "aether.v1, bearer.<token>": a browser's WebSocket can send no other header. */
static struct str protocol_token(struct str protocols)
{
    struct str element;
    while (next_element(&protocols, &element))
        if (element.len > sizeof BEARER - 1 && memcmp(element.ptr, BEARER, sizeof BEARER - 1) == 0)
            return (struct str){ element.ptr + sizeof BEARER - 1, element.len - (sizeof BEARER - 1) };
    return (struct str){ 0 };
}

static bool authenticate(struct request *r, struct opening *o)
{
    struct str token = protocol_token(header(r, "Sec-WebSocket-Protocol"));
    bool has_header = header(r, "Authorization").len > 0;
    if (!has_header && token.len == 0 && query_text(r, "ticket", &o->ticket) && o->ticket.len > 0)
        return true; /* looked at by the admission */
    o->ticket = (struct str){ 0 };
    if (has_header || token.len == 0)
        return token_authenticate(r);
    if (token_check(r->gateway->tokens, token, r->received_at, &r->claims) == OK)
        return true;
    problem(r, 401, "invalid_token", "Sec-WebSocket-Protocol", "%s", err_message());
    response_header(r, "WWW-Authenticate", "Bearer realm=\"aether\", error=\"invalid_token\"");
    return false;
}

/* --- WebSocket or server-sent events --- */

static bool handshake(struct request *r, struct opening *o)
{
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    if (!str_equal(header(r, "Sec-WebSocket-Version"), STR("13"))) {
        problem(r, 426, "websocket_version", "Sec-WebSocket-Version", "must be 13.");
        response_header(r, "Sec-WebSocket-Version", "13");
        response_header(r, "Upgrade", "websocket");
        return false;
    }
    if (!websocket_accept(header(r, "Sec-WebSocket-Key"), accept)) {
        problem(r, 400, "bad_head", "Sec-WebSocket-Key", "must be 16 bytes in base64.");
        return false;
    }
    bool has_protocol = has_element(header(r, "Sec-WebSocket-Protocol"), STR(PROTOCOL));
    o->head =
        str_of(arena_printf(&r->arena,
                            "HTTP/1.1 101 Switching Protocols\r\n"
                            "Upgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n"
                            "%s"
                            "X-Request-Id: %s\r\n\r\n",
                            accept, has_protocol ? "Sec-WebSocket-Protocol: " PROTOCOL "\r\n" : "", r->request_id));
    return true;
}

/* How long a browser waits before it comes back is drawn, so that not all come at once. */
static bool event_stream(struct request *r, struct opening *o)
{
    struct str accept = header(r, "Accept"), element;
    bool wanted = accept.len == 0;
    while (!wanted && next_element(&accept, &element)) {
        const char *semicolon = memchr(element.ptr, ';', element.len);
        if (semicolon)
            element.len = (size_t)(semicolon - element.ptr);
        wanted = http_equal_caseless(element, STR("text/event-stream")) || http_equal_caseless(element, STR("*/*")) ||
                 http_equal_caseless(element, STR("text/*"));
    }
    if (!wanted) {
        problem(r, 406, "not_acceptable", "Accept", "must allow text/event-stream, or ask for a WebSocket.");
        return false;
    }
    unsigned pause = 0;
    for (const char *c = r->request_id; *c; c++)
        pause = pause * 31 + (unsigned char)*c;
    const char *cors = r->origin ? arena_printf(&r->arena, "Access-Control-Allow-Origin: %s\r\n", r->origin) : "";
    o->head = str_of(arena_printf(&r->arena,
                                  "HTTP/1.1 200 OK\r\n"
                                  "Content-Type: text/event-stream\r\n"
                                  "Cache-Control: no-store\r\n"
                                  "X-Accel-Buffering: no\r\n"
                                  "X-Content-Type-Options: nosniff\r\n"
                                  "Connection: close\r\n"
                                  "%s"
                                  "X-Request-Id: %s\r\n\r\n"
                                  "retry: %u\n\n",
                                  cors, r->request_id, 500 + pause % 2000));
    return true;
}

/* --- from where on --- */

static bool read_position(struct request *r, struct opening *o, int partitions)
{
    struct str text = header(r, "Last-Event-ID");
    if (text.len == 0 && (!query_text(r, "lastEventId", &text) || text.len == 0))
        return true;
    o->seen = ARENA_ARRAY(&r->arena, int64_t, partitions);
    if (position_parse(text, partitions, o->seen))
        return true;
    problem(r, 400, "bad_query", "lastEventId", "must be the id of an event of this feed.");
    return false;
}

struct opening *opening_read(struct request *r, int partitions)
{
    struct opening *o = ARENA_NEW(&r->arena, struct opening);
    bool websocket = !r->head && has_element(header(r, "Upgrade"), STR("websocket")) &&
                     has_element(header(r, "Connection"), STR("upgrade"));
    o->framing = websocket ? FRAMING_WEBSOCKET : FRAMING_SSE;
    bool hold;
    o->held = websocket && query_bool(r, "hold", &hold) && hold;
    return authenticate(r, o) && (o->ticket.len > 0 || rate_limits_admit(r, LIMIT_BY_USER)) &&
                   read_position(r, o, partitions) && (websocket ? handshake(r, o) : event_stream(r, o))
               ? o
               : NULL;
}
