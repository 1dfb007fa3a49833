#include "consumers/users/roles.h"

#define U                                                                                                              \
    {                                                                                                                  \
        "user", 4                                                                                                      \
    }
#define M                                                                                                              \
    {                                                                                                                  \
        "moderator", 9                                                                                                 \
    }
#define A                                                                                                              \
    {                                                                                                                  \
        "admin", 5                                                                                                     \
    }

/* By the bits without the lowest: everybody is a user. */
static const struct roles {
    size_t count;
    struct str names[3];
    struct str text;
} sets[] = {
    { 1, { U }, { "user", 4 } },
    { 2, { U, M }, { "user,moderator", 14 } },
    { 2, { U, A }, { "user,admin", 10 } },
    { 3, { U, M, A }, { "user,moderator,admin", 20 } },
};

static const struct roles *set_of(uint32_t bits)
{
    return &sets[(bits & ACCOUNT_ROLES_ALL) >> 1];
}

static uint32_t bit_of(struct str name)
{
    const struct roles *all = &sets[3];
    for (size_t i = 0; i < all->count; i++)
        if (str_equal(name, all->names[i]))
            return 1u << i;
    return 0;
}

const struct str *role_names(uint32_t bits, size_t *ret_count)
{
    *ret_count = set_of(bits)->count;
    return set_of(bits)->names;
}

bool role_bits(const struct str *names, size_t count, uint32_t *ret_bits)
{
    uint32_t bits = ACCOUNT_USER;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bit = bit_of(names[i]);
        if (!bit)
            return false;
        bits |= bit;
    }
    *ret_bits = bits;
    return true;
}

struct str role_text(uint32_t bits)
{
    return set_of(bits)->text;
}

uint32_t role_bits_of_text(struct str text)
{
    uint32_t bits = ACCOUNT_USER;
    while (text.len) {
        const char *comma = memchr(text.ptr, ',', text.len);
        const size_t len = comma ? (size_t)(comma - text.ptr) : text.len;
        bits |= bit_of((struct str){ text.ptr, len });
        const size_t past = comma ? len + 1 : len;
        text = (struct str){ text.ptr + past, text.len - past };
    }
    return bits;
}
