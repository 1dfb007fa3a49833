/* client_address: who a request comes from. The peer of the connection, or, where that is one of gateway.proxies, what
 * it says in gateway.proxy_header: read from its right end, past every address that is a configured proxy itself, to
 * the first that is not. What stands left of that one was written by the client and counts for nothing. One header
 * only, since a proxy that writes one of them passes the other one through as the client sent it. Pure but for
 * client_address. */
#pragma once

#include "gateway/http/http_check.h"
#include "ops/runtime/err.h"

/* IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), so that the two ways to write one address are one address. */
struct address {
    uint8_t bytes[16];
};

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". */
bool address_parse(struct str text, struct address *ret);

struct cidr {
    struct address address;
    int bits; /* of 128 */
};

enum proxy_header { PROXY_FORWARDED, PROXY_X_FORWARDED_FOR };

#define PROXIES_MAX 64

/* gateway.proxies and gateway.proxy_header. */
struct proxies {
    struct cidr networks[PROXIES_MAX];
    size_t count;
    enum proxy_header header;
};

/* "10.0.0.0/8, 2001:db8::/32, 192.0.2.7"; empty: none. FATAL names the entry that is no network. */
MUST_CHECK err proxies_parse(const char *text, struct proxies *ret);
bool proxies_contain(const struct proxies *p, struct address address);

/* `peer` is struct sockaddr of the connection; NULL or another family: all zero. */
struct sockaddr;
struct address address_of_peer(const struct sockaddr *peer);

struct client {
    struct address address;
    bool secure; /* a configured proxy says that the client came over TLS (proto, X-Forwarded-Proto) */
};

struct client client_find(const struct proxies *p, struct address peer, const struct http_head *head);

/* What a limit counts by: IPv6 by /64, which is what one subscriber gets (RFC 6177), IPv4 by address. */
struct address client_network(struct address address);

/* "192.0.2.1" or "2001:db8::1", in the arena. Whoever owns the request, on any thread. */
struct request;
struct str client_address(struct request *r);
