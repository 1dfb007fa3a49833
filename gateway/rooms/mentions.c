#include "gateway/rooms/mentions.h"

#include "consumers/messages/view.h"
#include "consumers/users/view.h"
#include "gateway/gateway.h"

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (uint8_t)c >= 0x80;
}

static bool is_name(char c)
{
    return is_word(c) || c == '.' || c == '_' || c == '-';
}

bool mentions_possible(struct str text)
{
    return text.len > 0 && memchr(text.ptr, '@', text.len);
}

/* The next "@name" at or after *at; {NULL, 0}: none. An address like a@b.org is none, and what ends a sentence does not
 * belong to the name. */
static struct str next_name(struct str text, size_t *at)
{
    for (size_t i = *at; i + 1 < text.len; i++) {
        if (text.ptr[i] != '@' || (i > 0 && is_word(text.ptr[i - 1])) || !is_word(text.ptr[i + 1]))
            continue;
        size_t end = i + 1;
        while (end < text.len && is_name(text.ptr[end]))
            end++;
        *at = end;
        while (!is_word(text.ptr[end - 1]))
            end--;
        return (struct str){ text.ptr + i + 1, end - i - 1 };
    }
    return (struct str){ 0 };
}

static err find_account(struct request *r, struct pool_thread *thread, struct str name, struct uuid *ret, bool *found)
{
    uint8_t index[VAULT_INDEX_LEN];
    vault_blind_index(r->gateway->vault, username_normalise(&thread->arena, name), index);
    const struct str key = { (const char *)index, sizeof index };
    struct account_view account;
    TRY(account_find_by_login(thread->pg, &thread->arena, key, key, &account, found));
    *found = *found && !account.erased;
    if (*found)
        *ret = account.id;
    return OK;
}

err mentions_resolve(struct request *r, struct pool_thread *thread, struct uuid room, struct str text,
                     struct mentions *ret)
{
    *ret = (struct mentions){ 0 };
    struct uuid people[MENTIONS_MAX];
    size_t names = 0, count = 0, at = 0;
    for (struct str name; mentions_possible(text) && (name = next_name(text, &at)).ptr;) {
        if (str_equal(name, STR("room"))) {
            ret->room = true;
            continue;
        }
        if (++names > MENTIONS_MAX)
            return OK;
        bool found;
        TRY(find_account(r, thread, name, &people[count], &found));
        count += found;
    }
    if (count == 0)
        return OK;
    ret->ids = ARENA_ARRAY(&r->arena, struct uuid, count);
    return members_among(thread->pg, &thread->arena, room, people, count, ret->ids, &ret->count);
}
