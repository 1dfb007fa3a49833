/* escape: what a byte becomes within a JSON string (RFC 8259 section 7). */
#pragma once

/* The escape sequence of `c`, written to `scratch` where it is a \u one; NULL: the byte stands for itself. */
static inline const char *json_escape(unsigned char c, char scratch[7])
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        break;
    }
    if (c >= 0x20 && c != 0x7f)
        return (const char *)0;
    __builtin_memcpy(scratch, "\\u00", 4);
    scratch[4] = hex[c >> 4];
    scratch[5] = hex[c & 15];
    scratch[6] = '\0';
    return scratch;
}
