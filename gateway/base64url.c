#include "gateway/base64url.h"

#include <sodium.h>

void base64url_encode(const uint8_t *bytes, size_t len, char *ret_text)
{
    sodium_bin2base64(ret_text, BASE64URL_LEN(len) + 1, bytes, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool base64url_decode(struct str text, uint8_t *ret, size_t len)
{
    if (text.len != BASE64URL_LEN(len))
        return false;
    for (size_t i = 0; i < text.len; i++) /* libsodium 1.0.18 takes bytes above 127 for letters */
        if ((uint8_t)text.ptr[i] > 127)
            return false;
    size_t got;
    return sodium_base642bin(ret, len, text.ptr, text.len, NULL, &got, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
           got == len;
}
