#include "gateway/accounts/password_rules.h"

#include <sodium.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#define WORD_MAX 64  /* bytes; the longest word of the list is shorter */
#define UNITS    640 /* UTF-16; a password has at most 128 code points, an e-mail address 254 */

static bool is_common(struct str clear)
{
    char word[WORD_MAX];
    if (clear.len >= sizeof word)
        return false;
    for (size_t i = 0; i < clear.len; i++)
        word[i] = clear.ptr[i] >= 'A' && clear.ptr[i] <= 'Z' ? (char)(clear.ptr[i] | 0x20) : clear.ptr[i];
    word[clear.len] = '\0';
    size_t from = 0, to = common_passwords_count;
    bool found = false;
    while (from < to && !found) {
        size_t middle = from + (to - from) / 2;
        int order = strcmp(word, common_passwords + common_password_offsets[middle]);
        found = order == 0;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    sodium_memzero(word, sizeof word);
    return found;
}

static bool same_caseless(struct str a, struct str b)
{
    UChar wide_a[UNITS], wide_b[UNITS];
    int32_t len_a = 0, len_b = 0;
    UErrorCode code = U_ZERO_ERROR;
    u_strFromUTF8(wide_a, UNITS, &len_a, a.ptr, (int32_t)a.len, &code);
    u_strFromUTF8(wide_b, UNITS, &len_b, b.ptr, (int32_t)b.len, &code);
    bool same = U_SUCCESS(code) && u_strCaseCompare(wide_a, len_a, wide_b, len_b, U_FOLD_CASE_DEFAULT, &code) == 0 &&
                U_SUCCESS(code);
    sodium_memzero(wide_a, sizeof wide_a);
    sodium_memzero(wide_b, sizeof wide_b);
    return same;
}

const char *password_fault(struct str clear, struct str username, struct str email)
{
    if (username.len > 0 && same_caseless(clear, username))
        return "must not be the username.";
    if (email.len > 0 && same_caseless(clear, email))
        return "must not be the e-mail address.";
    if (is_common(clear))
        return "is one of the 10,000 commonest passwords; choose another.";
    return NULL;
}
