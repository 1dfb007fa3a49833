#include "ops/runtime/uuid.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

/* libuuid's header declares a uuid_parse of its own, so its one function that is used here is declared by hand. */
extern void uuid_generate_sha1(unsigned char *out, const unsigned char *namespace_id, const char *name, size_t len);

const struct uuid uuid_nil = { { 0 } };

static void sodium_start(void)
{
    if (sodium_init() < 0)
        abort();
}

/* Ids of one thread and one millisecond ascend: rand_a counts from a random start (RFC 9562 section 6.2, method 1). The
 * start leaves room for 2048 ids; what comes after in the same millisecond wraps, is as unique and no
 * longer ascends. */
static _Thread_local struct {
    int64_t unix_ms;
    unsigned counter;
} last = { .unix_ms = -1 };

struct uuid uuid_v7(int64_t unix_ms)
{
    static pthread_once_t started = PTHREAD_ONCE_INIT;
    pthread_once(&started, sodium_start);

    struct uuid id;
    randombytes_buf(id.bytes + 6, 10);
    if (last.unix_ms == unix_ms) {
        last.counter = (last.counter + 1) & 0xfff;
    } else {
        last.unix_ms = unix_ms;
        last.counter = ((unsigned)id.bytes[6] << 8 | id.bytes[7]) & 0x7ff;
    }
    const uint64_t ms = (uint64_t)unix_ms;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    id.bytes[6] = (uint8_t)(0x70 | last.counter >> 8);
    id.bytes[7] = (uint8_t)last.counter;
    id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3f));
    return id;
}

struct uuid uuid_v5(struct uuid namespace_id, struct str name)
{
    struct uuid id;
    uuid_generate_sha1(id.bytes, namespace_id.bytes, name.ptr ? name.ptr : "", name.len);
    return id;
}

int64_t uuid_v7_time(struct uuid id)
{
    if (id.bytes[6] >> 4 != 7 || id.bytes[8] >> 6 != 2)
        return -1;
    int64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id.bytes[i];
    return ms;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hyphen_place(size_t at)
{
    return at == 8 || at == 13 || at == 18 || at == 23;
}

bool uuid_parse(struct str text, struct uuid *ret)
{
    if (text.len != UUID_TEXT_LEN)
        return false;
    struct uuid id;
    size_t byte = 0;
    for (size_t at = 0; at < UUID_TEXT_LEN;) {
        if (is_hyphen_place(at)) {
            if (text.ptr[at++] != '-')
                return false;
            continue;
        }
        const int high = hex_value(text.ptr[at]), low = hex_value(text.ptr[at + 1]);
        if (high < 0 || low < 0)
            return false;
        id.bytes[byte++] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    *ret = id;
    return true;
}

void uuid_format(struct uuid id, char ret_text[UUID_TEXT_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    char *at = ret_text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex[id.bytes[i] >> 4];
        *at++ = hex[id.bytes[i] & 15];
    }
    *at = '\0';
}
