#include "gateway/http/trace.h"

#include <sodium.h>

#define TRACE_AT 3
#define SPAN_AT  36
#define FLAGS_AT 53

void trace_random(void *ret, size_t size)
{
    static _Thread_local struct {
        uint8_t bytes[1024];
        size_t left;
    } store;
    if (store.left < size) {
        randombytes_buf(store.bytes, sizeof store.bytes);
        store.left = sizeof store.bytes;
    }
    store.left -= size;
    memcpy(ret, store.bytes + store.left, size);
}

/* Lower-case hexadecimal that is not zero throughout. */
static bool is_id(const char *text, size_t len)
{
    bool zero = true;
    for (size_t i = 0; i < len; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
        zero = zero && text[i] == '0';
    }
    return !zero;
}

static bool is_traceparent(struct str s)
{
    if (s.len < TRACEPARENT_LEN || s.ptr[2] != '-' || s.ptr[35] != '-' || s.ptr[52] != '-')
        return false;
    bool version_00 = s.ptr[0] == '0' && s.ptr[1] == '0';
    if (version_00 ? s.len != TRACEPARENT_LEN : !is_id(s.ptr, 2) || (s.len > TRACEPARENT_LEN && s.ptr[55] != '-'))
        return false;
    if (s.ptr[0] == 'f' && s.ptr[1] == 'f') /* forbidden */
        return false;
    bool no_flags = s.ptr[FLAGS_AT] == '0' && s.ptr[FLAGS_AT + 1] == '0';
    return is_id(s.ptr + TRACE_AT, 32) && is_id(s.ptr + SPAN_AT, 16) && (no_flags || is_id(s.ptr + FLAGS_AT, 2));
}

static void random_id(char *to, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[16];
    trace_random(bytes, len / 2);
    bytes[0] |= 1; /* never all zero */
    for (size_t i = 0; i < len; i++)
        to[i] = hex[i & 1 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
}

void trace_continue(struct str traceparent, char ret_text[TRACEPARENT_LEN + 1])
{
    memcpy(ret_text, "00-", 3);
    if (is_traceparent(traceparent)) {
        memcpy(ret_text + TRACE_AT, traceparent.ptr + TRACE_AT, 32);
        memcpy(ret_text + FLAGS_AT, traceparent.ptr + FLAGS_AT, 2);
    } else {
        random_id(ret_text + TRACE_AT, 32);
        memcpy(ret_text + FLAGS_AT, "01", 2);
    }
    ret_text[35] = ret_text[52] = '-';
    random_id(ret_text + SPAN_AT, 16);
    ret_text[TRACEPARENT_LEN] = '\0';
}
