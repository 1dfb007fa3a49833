#include "gateway/http/http_check.h"

#include <strings.h>

#define CONTENT_LENGTH_DIGITS 18 /* more would not fit into an int64_t */

/* --- characters --- */

enum {
    IS_TOKEN = 1, /* RFC 9110 section 5.6.2 */
    IS_PATH = 2,  /* RFC 3986 pchar and '/', '%' apart */
    IS_QUERY = 4, /* what may stand in a query; '[', ']', '|' and the like are sent by many clients */
    IS_HOST = 8,  /* RFC 3986 reg-name, IP-literal and port */
};

/* clang-format off */
static const uint8_t classes[256] = {
    ['A'...'Z'] = 15, ['a'...'z'] = 15, ['0'...'9'] = 15, ['-'] = 15, ['.'] = 15, ['_'] = 15, ['~'] = 15,
    ['!'] = 15, ['$'] = 15, ['&'] = 15, ['\''] = 15, ['*'] = 15, ['+'] = 15,
    ['('] = 14, [')'] = 14, [','] = 14, [';'] = 14, ['='] = 14, [':'] = 14,
    ['@'] = 6, ['/'] = 6, ['?'] = 4, ['['] = 12, [']'] = 12, ['%'] = 9, ['#'] = 1, ['^'] = 5, ['`'] = 5, ['|'] = 5,
    ['{'] = 4, ['}'] = 4, ['\\'] = 4,
};
/* clang-format on */

static bool is_all(struct str s, uint8_t class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(classes[(uint8_t)s.ptr[i]] & class))
            return false;
    return true;
}

bool http_is_token(struct str s)
{
    return s.len > 0 && is_all(s, IS_TOKEN);
}

bool http_is_idempotency_key(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
            return false;
    return s.len >= 1 && s.len <= 255;
}

bool http_equal_caseless(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

bool http_is_utf8(struct str s)
{
    const uint8_t *at = (const uint8_t *)s.ptr, *end = at + s.len;
    while (at < end) {
        uint8_t first = *at++;
        if (first < 0x80)
            continue;
        int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || end - at < more)
            return false;
        /* The second byte decides about overlong forms, surrogates and what lies above U+10FFFF. */
        uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (*at < low || *at > high)
            return false;
        for (at++; --more > 0; at++)
            if (*at < 0x80 || *at > 0xbf)
                return false;
    }
    return true;
}

static struct str trimmed(struct str s)
{
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* --- percent-encoding --- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte, decoded; -1 for a '%' without two hexadecimal digits. Advances *at. */
static int decode_one(struct str s, size_t *at, bool plus_is_space)
{
    char c = s.ptr[(*at)++];
    if (c == '+' && plus_is_space)
        return ' ';
    if (c != '%')
        return (uint8_t)c;
    if (s.len - *at < 2)
        return -1;
    int high = hex_value(s.ptr[*at]), low = hex_value(s.ptr[*at + 1]);
    if (high < 0 || low < 0)
        return -1;
    *at += 2;
    return high << 4 | low;
}

/* --- faults --- */

static bool fault(struct http_fault *ret, const char *code, const char *field, const char *detail)
{
    *ret = (struct http_fault){ .status = 400, .code = code, .detail = detail, .field = str_of(field) };
    return false;
}

static bool framing_fault(struct http_fault *ret, int status, const char *code, const char *field, const char *detail)
{
    *ret =
        (struct http_fault){ .status = status, .code = code, .detail = detail, .field = str_of(field), .close = true };
    return false;
}

/* --- the target --- */

static bool check_path(struct str path, char *buffer, struct str *ret, struct http_fault *ret_fault)
{
    size_t len = 0;
    for (size_t at = 0; at < path.len;) {
        char raw = path.ptr[at];
        if (raw != '%' && !(classes[(uint8_t)raw] & IS_PATH))
            return fault(ret_fault, "bad_path", NULL,
                         "The path has a character that must be percent-encoded (RFC 3986).");
        int c = decode_one(path, &at, false);
        if (c < 0)
            return fault(ret_fault, "bad_path", NULL,
                         "The path has a '%' that is not followed by two hexadecimal digits.");
        if (c == 0)
            return fault(ret_fault, "bad_path", NULL, "The path has a NUL character.");
        if (c == '/' && raw == '%')
            return fault(ret_fault, "bad_path", NULL, "The path has an encoded slash.");
        buffer[len++] = (char)c;
    }
    *ret = (struct str){ buffer, len };
    if (!http_is_utf8(*ret))
        return fault(ret_fault, "bad_path", NULL, "The path is not valid UTF-8.");
    return true;
}

/* Cuts the next name[=value] off *query. */
static void next_pair(struct str *query, struct str *ret_name, struct str *ret_value)
{
    const char *end = memchr(query->ptr, '&', query->len);
    size_t len = end ? (size_t)(end - query->ptr) : query->len;
    const char *equals = memchr(query->ptr, '=', len);
    size_t name_len = equals ? (size_t)(equals - query->ptr) : len;
    *ret_name = (struct str){ query->ptr, name_len };
    *ret_value = equals ? (struct str){ equals + 1, len - name_len - 1 } : (struct str){ 0 };
    size_t cut = end ? len + 1 : len;
    query->ptr += cut;
    query->len -= cut;
}

static bool equal_decoded(struct str a, struct str b)
{
    size_t i = 0, k = 0;
    while (i < a.len && k < b.len)
        if (decode_one(a, &i, true) != decode_one(b, &k, true))
            return false;
    return i == a.len && k == b.len;
}

/* A streaming form of http_is_utf8 over decoded bytes would be shorter than decoding only if it were not needed twice;
 * so a part is decoded by pieces that fit on the stack. A character is never cut: a piece ends before a lead byte. */
static bool is_decodable(struct str part, const char **ret_why)
{
    char piece[256];
    size_t len = 0;
    for (size_t at = 0; at < part.len;) {
        int c = decode_one(part, &at, true);
        *ret_why = c < 0    ? "has a '%' that is not followed by two hexadecimal digits."
                   : c == 0 ? "has a NUL character."
                            : "is not valid UTF-8.";
        if (c <= 0)
            return false;
        if (len > sizeof piece - 4 && (c & 0xc0) != 0x80) {
            if (!http_is_utf8((struct str){ piece, len }))
                return false;
            len = 0;
        }
        if (len == sizeof piece) /* five continuation bytes in a row */
            return false;
        piece[len++] = (char)c;
    }
    return http_is_utf8((struct str){ piece, len });
}

static bool check_query(struct str query, struct http_fault *ret_fault)
{
    struct str names[HTTP_MAX_QUERY];
    size_t count = 0;
    while (query.len > 0) {
        struct str name, value;
        const char *why;
        next_pair(&query, &name, &value);
        if (name.len == 0 && value.len == 0)
            continue;
        if (count == HTTP_MAX_QUERY)
            return fault(ret_fault, "bad_query", NULL, "The query has more than 32 parameters.");
        if (!is_decodable(name, &why) || !is_all(name, IS_QUERY | IS_TOKEN))
            return fault(ret_fault, "bad_query", NULL, "The query has a name that is not well-formed.");
        for (size_t i = 0; i < count; i++)
            if (equal_decoded(names[i], name)) {
                fault(ret_fault, "bad_query", NULL, "is given more than once.");
                ret_fault->field = name;
                return false;
            }
        names[count++] = name;
        bool plain = true;
        for (size_t i = 0; i < value.len; i++)
            plain = plain && (value.ptr[i] == '%' || classes[(uint8_t)value.ptr[i]] & IS_QUERY);
        if (!plain)
            why = "has a character that must be percent-encoded (RFC 3986).";
        if (plain && is_decodable(value, &why))
            continue;
        fault(ret_fault, "bad_query", NULL, why);
        ret_fault->field = name;
        return false;
    }
    return true;
}

bool http_query(struct str query, struct str name, char *buffer, struct str *ret)
{
    while (query.len > 0) {
        struct str other, value;
        next_pair(&query, &other, &value);
        if (!equal_decoded(other, name))
            continue;
        size_t len = 0;
        for (size_t at = 0; at < value.len;)
            buffer[len++] = (char)decode_one(value, &at, true);
        *ret = (struct str){ buffer, len };
        return true;
    }
    return false;
}

/* --- headers --- */

/* The headers that may stand once: two of them would leave open which one counts. */
enum single {
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    EXPECT,
    AUTHORIZATION,
    REQUEST_ID,
    TRACEPARENT,
    IDEMPOTENCY_KEY,
    SINGLES
};

static const struct {
    const char *name;
    bool framing; /* says where the request ends or where it goes */
} singles[SINGLES] = {
    [HOST] = { "Host", true },
    [CONTENT_LENGTH] = { "Content-Length", true },
    [TRANSFER_ENCODING] = { "Transfer-Encoding", true },
    [CONTENT_TYPE] = { "Content-Type", false },
    [CONTENT_ENCODING] = { "Content-Encoding", false },
    [EXPECT] = { "Expect", true },
    [AUTHORIZATION] = { "Authorization", false },
    [REQUEST_ID] = { "X-Request-Id", false },
    [TRACEPARENT] = { "traceparent", false },
    [IDEMPOTENCY_KEY] = { "Idempotency-Key", false },
};

struct seen {
    struct str values[SINGLES];
    bool present[SINGLES];
    bool respond_async;
    enum single twice, twice_framing; /* one that stands twice; SINGLES: none */
};

static enum single single_of(struct str name)
{
    for (int i = 0; i < SINGLES; i++) {
        struct str known = str_of(singles[i].name);
        if (known.len == name.len && ((name.ptr[0] ^ known.ptr[0]) & 0x5f) == 0 && http_equal_caseless(name, known))
            return (enum single)i;
    }
    return SINGLES;
}

static bool is_field_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((uint8_t)s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return false;
    return true;
}

/* Preferences are a list, in one header or several; parameters of one stand behind a ';'. */
static bool prefers(struct str list, struct str preference)
{
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.ptr) : list.len;
        const char *semicolon = memchr(list.ptr, ';', len);
        struct str item = { list.ptr, semicolon ? (size_t)(semicolon - list.ptr) : len };
        while (item.len > 0 && (*item.ptr == ' ' || *item.ptr == '\t'))
            item = (struct str){ item.ptr + 1, item.len - 1 };
        if (http_equal_caseless(trimmed(item), preference))
            return true;
        size_t cut = comma ? len + 1 : len;
        list = (struct str){ list.ptr + cut, list.len - cut };
    }
    return false;
}

static bool read_headers(const struct http_head *head, struct seen *seen, struct http_fault *ret_fault)
{
    seen->twice = seen->twice_framing = SINGLES;
    for (size_t i = 0; i < head->count; i++) {
        const struct http_header *h = &head->headers[i];
        /* White space before the colon is part of the name here, and no token. */
        if (!http_is_token(h->name))
            return framing_fault(ret_fault, 400, "bad_header", NULL,
                                 "A header name is empty or has a character that is not allowed in it.");
        if (!is_field_value(h->value))
            return framing_fault(ret_fault, 400, "bad_header", NULL, "A header value has a control character.");
        enum single which = single_of(h->name);
        if (which == SINGLES) {
            if (http_equal_caseless(h->name, STR("Prefer")) && prefers(h->value, STR("respond-async")))
                seen->respond_async = true;
            continue;
        }
        if (seen->present[which])
            *(singles[which].framing ? &seen->twice_framing : &seen->twice) = which;
        seen->present[which] = true;
        seen->values[which] = h->value;
    }
    return true;
}

static bool check_body_length(const struct seen *seen, bool http_1_0, struct http_facts *ret,
                              struct http_fault *ret_fault)
{
    ret->content_length = -1;
    if (seen->present[TRANSFER_ENCODING]) {
        if (seen->present[CONTENT_LENGTH])
            return framing_fault(ret_fault, 400, "bad_framing", "Transfer-Encoding",
                                 "Content-Length and Transfer-Encoding exclude each other.");
        /* Not trimmed: libmicrohttpd takes "chunked " for something else and reads until the connection ends. */
        if (http_1_0 || !http_equal_caseless(seen->values[TRANSFER_ENCODING], STR("chunked")))
            return framing_fault(ret_fault, 400, "bad_framing", "Transfer-Encoding",
                                 "Only Transfer-Encoding: chunked is understood, in HTTP/1.1.");
        ret->chunked = true;
    }
    if (seen->present[CONTENT_LENGTH]) {
        struct str digits = seen->values[CONTENT_LENGTH];
        if (digits.len == 0 || digits.len > CONTENT_LENGTH_DIGITS)
            return framing_fault(ret_fault, 400, "bad_framing", "Content-Length",
                                 "Content-Length must be a number of at most 18 digits.");
        ret->content_length = 0;
        for (size_t i = 0; i < digits.len; i++) {
            if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
                return framing_fault(ret_fault, 400, "bad_framing", "Content-Length",
                                     "Content-Length must be decimal digits and nothing else.");
            ret->content_length = ret->content_length * 10 + (digits.ptr[i] - '0');
        }
    }
    return true;
}

static bool check_host(const struct seen *seen, bool http_1_0, struct http_fault *ret_fault)
{
    if (!seen->present[HOST])
        return http_1_0 ||
               framing_fault(ret_fault, 400, "bad_host", "Host", "An HTTP/1.1 request must have a Host header.");
    struct str host = trimmed(seen->values[HOST]);
    if (host.len == 0 || !is_all(host, IS_HOST))
        return framing_fault(ret_fault, 400, "bad_host", "Host", "The Host header must be a host name and a port.");
    return true;
}

static bool check_framing(const struct http_head *head, struct seen *seen, struct http_facts *ret,
                          struct http_fault *ret_fault)
{
    if (!http_is_token(head->method))
        return framing_fault(ret_fault, 400, "bad_request_line", NULL, "The method is not well-formed.");
    bool http_1_0 = str_equal(head->version, STR("HTTP/1.0"));
    if (!http_1_0 && !str_equal(head->version, STR("HTTP/1.1")))
        return framing_fault(ret_fault, 505, "http_version", NULL, "Only HTTP/1.0 and HTTP/1.1 are understood.");
    /* absolute-form, authority-form and asterisk-form: this is no proxy, and which host counts would be in doubt. */
    if (head->target.len == 0 || head->target.ptr[0] != '/')
        return framing_fault(ret_fault, 400, "bad_request_line", NULL, "The target must be a path that begins with /.");
    for (size_t i = 0; i < head->target.len; i++)
        if ((uint8_t)head->target.ptr[i] <= ' ' || head->target.ptr[i] == 0x7f)
            return framing_fault(ret_fault, 400, "bad_request_line", NULL,
                                 "The target has a space or a control character.");
    if (!read_headers(head, seen, ret_fault))
        return false;
    if (seen->twice_framing != SINGLES)
        return framing_fault(ret_fault, 400, "bad_framing", singles[seen->twice_framing].name,
                             "This header may be given only once.");
    if (!check_body_length(seen, http_1_0, ret, ret_fault) || !check_host(seen, http_1_0, ret_fault))
        return false;
    if (seen->present[EXPECT] && !http_1_0) {
        if (!http_equal_caseless(seen->values[EXPECT], STR("100-continue")))
            return framing_fault(ret_fault, 417, "expectation_failed", "Expect", "Only 100-continue can be expected.");
        ret->expects_continue = true;
    }
    return true;
}

bool http_check(const struct http_head *head, char *path_buffer, struct http_facts *ret, struct http_fault *ret_fault)
{
    struct seen seen = { 0 };
    *ret = (struct http_facts){ .content_length = -1 };
    bool framed = check_framing(head, &seen, ret, ret_fault);
    ret->request_id = trimmed(seen.values[REQUEST_ID]);
    if (!framed)
        return false;
    ret->content_type = trimmed(seen.values[CONTENT_TYPE]);
    ret->content_encoding = trimmed(seen.values[CONTENT_ENCODING]);
    ret->traceparent = trimmed(seen.values[TRACEPARENT]);
    ret->respond_async = seen.respond_async;
    if (seen.present[IDEMPOTENCY_KEY]) {
        ret->idempotency_key = trimmed(seen.values[IDEMPOTENCY_KEY]);
        if (!http_is_idempotency_key(ret->idempotency_key))
            return fault(ret_fault, "bad_header", "Idempotency-Key",
                         "must be 1 to 255 printable ASCII characters without spaces.");
    }
    if (seen.twice != SINGLES)
        return fault(ret_fault, "bad_header", singles[seen.twice].name, "This header may be given only once.");
    const char *question = memchr(head->target.ptr, '?', head->target.len);
    struct str path = head->target;
    if (question) {
        path.len = (size_t)(question - path.ptr);
        ret->query = (struct str){ question + 1, head->target.len - path.len - 1 };
    }
    return check_path(path, path_buffer, &ret->path, ret_fault) && check_query(ret->query, ret_fault);
}

/* --- media types --- */

/* `type` alone or with charset=utf-8. */
static bool is_type(struct str content_type, struct str type)
{
    const char *semicolon = content_type.len ? memchr(content_type.ptr, ';', content_type.len) : NULL;
    size_t len = semicolon ? (size_t)(semicolon - content_type.ptr) : content_type.len;
    if (!http_equal_caseless(trimmed((struct str){ content_type.ptr, len }), type))
        return false;
    if (!semicolon)
        return true;
    struct str parameter = { semicolon + 1, content_type.len - len - 1 };
    while (parameter.len > 0 && (*parameter.ptr == ' ' || *parameter.ptr == '\t'))
        parameter = (struct str){ parameter.ptr + 1, parameter.len - 1 };
    return http_equal_caseless(trimmed(parameter), STR("charset=utf-8")) ||
           http_equal_caseless(trimmed(parameter), STR("charset=\"utf-8\""));
}

bool http_is_json(struct str content_type)
{
    return is_type(content_type, STR("application/json"));
}

bool http_is_merge_patch(struct str content_type)
{
    return is_type(content_type, STR("application/merge-patch+json"));
}
