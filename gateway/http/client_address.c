#include "gateway/http/client_address.h"

#include <arpa/inet.h>

#include "gateway/http/request.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool is_ipv4(const struct address *a)
{
    return memcmp(a->bytes, mapped, sizeof mapped) == 0;
}

/* --- text --- */

static struct str trimmed(struct str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = (struct str){ s.ptr + 1, s.len - 1 };
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool is_port(struct str s)
{
    if (s.len == 0 || s.len > 5)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

static bool parse_numeric(struct str s, struct address *ret)
{
    char text[INET6_ADDRSTRLEN];
    struct address a;
    if (s.len == 0 || s.len >= sizeof text || memchr(s.ptr, '\0', s.len))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    memcpy(a.bytes, mapped, sizeof mapped);
    if (inet_pton(AF_INET, text, a.bytes + sizeof mapped) != 1 && inet_pton(AF_INET6, text, a.bytes) != 1)
        return false;
    *ret = a;
    return true;
}

bool address_parse(struct str text, struct address *ret)
{
    if (text.len > 0 && text.ptr[0] == '[') {
        const char *end = memchr(text.ptr, ']', text.len);
        if (!end)
            return false;
        struct str inside = { text.ptr + 1, (size_t)(end - text.ptr) - 1 };
        struct str rest = { end + 1, text.len - inside.len - 2 };
        if (!memchr(inside.ptr, ':', inside.len))
            return false; /* an IPv4 address in brackets */
        if (rest.len > 0 && (rest.ptr[0] != ':' || !is_port((struct str){ rest.ptr + 1, rest.len - 1 })))
            return false;
        return parse_numeric(inside, ret);
    }
    const char *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
    size_t before = colon ? (size_t)(colon - text.ptr) : text.len;
    if (colon && !memchr(colon + 1, ':', text.len - before - 1)) /* one colon: IPv4 with a port */
        return is_port((struct str){ colon + 1, text.len - before - 1 }) &&
               parse_numeric((struct str){ text.ptr, before }, ret);
    return parse_numeric(text, ret);
}

static bool cidr_parse(struct str text, struct cidr *ret)
{
    const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
    struct str address = { text.ptr, slash ? (size_t)(slash - text.ptr) : text.len };
    if (!parse_numeric(address, &ret->address))
        return false;
    bool written_as_ipv4 = !memchr(address.ptr, ':', address.len);
    int most = written_as_ipv4 ? 32 : 128;
    int bits = most;
    if (slash) {
        struct str digits = { slash + 1, text.len - address.len - 1 };
        if (!is_port(digits) || digits.len > 3)
            return false;
        bits = 0;
        for (size_t i = 0; i < digits.len; i++)
            bits = bits * 10 + (digits.ptr[i] - '0');
        if (bits > most)
            return false;
    }
    ret->bits = written_as_ipv4 ? bits + 96 : bits;
    return true;
}

err proxies_parse(const char *text, struct proxies *ret)
{
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, ",");
        struct str entry = trimmed((struct str){ at, len });
        if (ret->count == PROXIES_MAX)
            return err_set(FATAL, "gateway.proxies has more than %d networks", PROXIES_MAX);
        if (!cidr_parse(entry, &ret->networks[ret->count++]))
            return err_set(FATAL,
                           "gateway.proxies: '%.*s' is no network; allowed: addresses and networks like "
                           "10.0.0.0/8, 192.0.2.7 or 2001:db8::/32, separated by commas",
                           (int)entry.len, entry.ptr);
        at += len + (at[len] == ',');
    }
    return OK;
}

static bool cidr_contains(const struct cidr *c, const struct address *a)
{
    size_t whole = (size_t)c->bits / 8;
    uint8_t mask = (uint8_t)(0xff00 >> (c->bits % 8));
    return memcmp(c->address.bytes, a->bytes, whole) == 0 &&
           (c->bits % 8 == 0 || (c->address.bytes[whole] & mask) == (a->bytes[whole] & mask));
}

bool proxies_contain(const struct proxies *p, struct address address)
{
    for (size_t i = 0; i < p->count; i++)
        if (cidr_contains(&p->networks[i], &address))
            return true;
    return false;
}

struct address address_of_peer(const struct sockaddr *peer)
{
    struct address a = { 0 };
    if (peer && peer->sa_family == AF_INET) {
        memcpy(a.bytes, mapped, sizeof mapped);
        memcpy(a.bytes + sizeof mapped, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    } else if (peer && peer->sa_family == AF_INET6) {
        memcpy(a.bytes, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
    }
    return a;
}

/* --- lists, from their right end: what a trusted proxy has appended is well-formed, whatever stands left of it --- */

/* Cuts the last element behind a `separator` that stands outside of quotes off *list. */
static struct str last_element(struct str *list, char separator)
{
    bool quoted = false;
    size_t at = list->len;
    while (at > 0 && (quoted || list->ptr[at - 1] != separator)) {
        if (list->ptr[at - 1] == '"')
            quoted = !quoted;
        at--;
    }
    struct str element = trimmed((struct str){ list->ptr + at, list->len - at });
    list->len = at > 0 ? at - 1 : 0;
    return element;
}

/* The value of a parameter of a Forwarded element (RFC 7239 section 4), without quotes. No address needs an escape. */
static struct str parameter(struct str element, struct str name)
{
    while (element.len > 0) {
        struct str pair = last_element(&element, ';');
        const char *equals = pair.len ? memchr(pair.ptr, '=', pair.len) : NULL;
        size_t len = equals ? (size_t)(equals - pair.ptr) : pair.len;
        if (!equals || !http_equal_caseless((struct str){ pair.ptr, len }, name))
            continue;
        struct str value = { equals + 1, pair.len - len - 1 };
        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
            value = (struct str){ value.ptr + 1, value.len - 2 };
        return value;
    }
    return (struct str){ 0 };
}

static const struct http_header *last_header(const struct http_head *head, struct str name, size_t before)
{
    while (before > 0)
        if (http_equal_caseless(head->headers[--before].name, name))
            return &head->headers[before];
    return NULL;
}

/* The elements of all lines of one header as one list (RFC 9110 section 5.3), read backwards. */
struct list {
    const struct http_head *head;
    struct str name, left;
    size_t line; /* of `left` */
};

static struct list list_of(const struct http_head *head, struct str name)
{
    return (struct list){ .head = head, .name = name, .line = head->count };
}

/* false: no more. Empty elements are passed over, as RFC 9110 section 5.6.1 says. */
static bool list_previous(struct list *l, struct str *ret)
{
    for (;;) {
        while (l->left.len > 0) {
            *ret = last_element(&l->left, ',');
            if (ret->len > 0)
                return true;
        }
        const struct http_header *header = last_header(l->head, l->name, l->line);
        if (!header)
            return false;
        l->line = (size_t)(header - l->head->headers);
        l->left = header->value;
    }
}

static bool is_https(struct str proto)
{
    return http_equal_caseless(trimmed(proto), STR("https"));
}

struct client client_find(const struct proxies *p, struct address peer, const struct http_head *head)
{
    struct client c = { .address = peer };
    if (p->count == 0 || !proxies_contain(p, peer))
        return c;
    bool forwarded = p->header == PROXY_FORWARDED;
    struct str element, value;
    for (struct list l = list_of(head, forwarded ? STR("Forwarded") : STR("X-Forwarded-For"));
         list_previous(&l, &element);) {
        if (forwarded && (value = parameter(element, STR("proto"))).len > 0)
            c.secure = is_https(value);
        /* "unknown", "_hidden" or what is no address at all: the proxy that said so is the last one we know. */
        if (!address_parse(forwarded ? parameter(element, STR("for")) : element, &c.address) ||
            !proxies_contain(p, c.address))
            break;
    }
    struct list protos = list_of(head, STR("X-Forwarded-Proto"));
    if (!forwarded && list_previous(&protos, &element))
        c.secure = is_https(element);
    return c;
}

/* --- what it is used for --- */

struct address client_network(struct address address)
{
    if (!is_ipv4(&address))
        memset(address.bytes + 8, 0, 8);
    return address;
}

struct str client_address(struct request *r)
{
    char *text = arena_alloc(&r->arena, INET6_ADDRSTRLEN);
    if (is_ipv4(&r->client.address))
        inet_ntop(AF_INET, r->client.address.bytes + sizeof mapped, text, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, r->client.address.bytes, text, INET6_ADDRSTRLEN);
    return str_of(text);
}
