/* http_check: what is looked at when the head of a request is complete, before anything is done with it. Pure: no
 * socket, no allocation; fuzzed as it stands (tests/fuzz/fuzz_http_first_call.c).
 *
 * libmicrohttpd 0.9.75 lets much through that lets two parsers in a row disagree about where a request ends (RFC 9112
 * section 11.2). A fault of framing therefore ends the connection; a fault of the target, or of a header that frames
 * nothing, is answered and leaves it usable. */
#pragma once

#include "ops/runtime/mem.h"

#define HTTP_MAX_HEADERS 64
#define HTTP_MAX_QUERY   32 /* parameters */

struct http_header {
    struct str name, value;
};

/* The head as it was received: the target not decoded, values with leading white space removed. */
struct http_head {
    struct str method, target, version; /* "HTTP/1.1" */
    struct http_header headers[HTTP_MAX_HEADERS];
    size_t count;
};

/* What the head says. The strings point into the head, `path` into the caller's buffer; {NULL, 0}: absent. */
struct http_facts {
    struct str path;        /* decoded: valid UTF-8, no NUL; not normalised, "." and ".." are plain segments */
    struct str query;       /* behind the '?', not decoded; checked, see http_query */
    int64_t content_length; /* -1: not given */
    bool chunked, expects_continue;
    bool respond_async; /* Prefer: respond-async (RFC 7240) */
    struct str content_type, content_encoding, request_id, traceparent, idempotency_key;
};

struct http_fault {
    int status;
    const char *code, *detail; /* constant */
    struct str field;          /* what it is about; {NULL, 0}: the whole */
    bool close;                /* where this request ends is in doubt: nothing more may be read from the connection */
};

/* `path_buffer` has room for head->target.len bytes. false: *ret_fault is filled and *ret is not to be used, but for
 * request_id, which is filled either way. A fault that closes is found before one that does not. */
bool http_check(const struct http_head *head, char *path_buffer, struct http_facts *ret, struct http_fault *ret_fault);

/* The value of a parameter in a checked query, decoded into `buffer` (room for query.len bytes). false: absent. */
bool http_query(struct str query, struct str name, char *buffer, struct str *ret);

/* Characters of an RFC 9110 token (section 5.6.2), at least one. */
bool http_is_token(struct str s);
/* 1 to 255 printable ASCII characters without spaces. */
bool http_is_idempotency_key(struct str s);
/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool http_is_utf8(struct str s);
/* application/json, alone or with charset=utf-8 (RFC 8259 knows no parameter, many clients send it). */
bool http_is_json(struct str content_type);
/* application/merge-patch+json, likewise (RFC 7396). */
bool http_is_merge_patch(struct str content_type);
/* ASCII letters in either case. */
bool http_equal_caseless(struct str a, struct str b);
