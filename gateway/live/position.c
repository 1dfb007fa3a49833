#include "gateway/live/position.h"

#include "gateway/base64url.h"

#define NUMBER_MAX 9 /* bytes; offsets are below 2^63 */
#define BYTES_MAX  ((POSITION_MAX_PARTITIONS + 1) * NUMBER_MAX)

static size_t number_write(uint64_t number, uint8_t *ret)
{
    size_t len = 0;
    for (; number >= 0x80; number >>= 7)
        ret[len++] = (uint8_t)(number | 0x80);
    ret[len++] = (uint8_t)number;
    return len;
}

static bool number_read(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 7 * NUMBER_MAX && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = number;
            return true;
        }
    }
    return false;
}

size_t position_format(const int64_t *next, int partitions, char *ret_text)
{
    uint8_t bytes[BYTES_MAX];
    size_t len = number_write((uint64_t)partitions, bytes);
    for (int i = 0; i < partitions; i++)
        len += number_write((uint64_t)next[i], bytes + len);
    base64url_encode(bytes, len, ret_text);
    return BASE64URL_LEN(len);
}

bool position_parse(struct str text, int partitions, int64_t *ret_next)
{
    uint8_t bytes[BYTES_MAX];
    size_t len = text.len * 6 / 8;
    if (text.len == 0 || len > sizeof bytes || !base64url_decode(text, bytes, len))
        return false;
    const uint8_t *at = bytes, *end = bytes + len;
    uint64_t number;
    if (!number_read(&at, end, &number) || number != (uint64_t)partitions)
        return false;
    for (int i = 0; i < partitions; i++) {
        if (!number_read(&at, end, &number))
            return false;
        ret_next[i] = (int64_t)number;
    }
    return at == end;
}
