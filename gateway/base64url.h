/* base64url: RFC 4648, section 5, without padding, for what clients hand back to us. Any thread. */
#pragma once

#include "ops/runtime/mem.h"

#define BASE64URL_LEN(bytes) (((bytes)*8 + 5) / 6)

void base64url_encode(const uint8_t *bytes, size_t len, char *ret_text); /* BASE64URL_LEN(len) characters and a NUL */
/* Exactly `len` bytes in the one way to write them; ret is not defined on false. */
bool base64url_decode(struct str text, uint8_t *ret, size_t len);
