/* messages/row: the numbers that stand in the tables for enums. Never reused and independent of the order of the
 * symbols in the schemas. */
#pragma once

#include <stdint.h>

#include "schemas/rooms.gen.h"

enum { ROW_ROOM_PUBLIC = 1, ROW_ROOM_PRIVATE = 2, ROW_ROOM_DIRECT = 3 };
enum { ROW_MEMBER_OWNER = 1, ROW_MEMBER_PLAIN = 2, ROW_MEMBER_ADMIN = 3, ROW_MEMBER_READ_ONLY = 4 };

/* A member's row knows in which block of ROW_BLOCK messages their own newest one is, so that it does not change with
 * each: in number block * ROW_BLOCK or one of those before it. Block 0: none. The number stands in tables.sql and
 * view.c, too. */
enum { ROW_BLOCK = 64 };

static inline int64_t row_block(int64_t seq)
{
    return (seq + ROW_BLOCK - 1) / ROW_BLOCK;
}

/* By the schemas' values. */
static const int16_t room_kind_numbers[] = {
    [ROOM_KIND_PUBLIC] = ROW_ROOM_PUBLIC,
    [ROOM_KIND_PRIVATE] = ROW_ROOM_PRIVATE,
    [ROOM_KIND_DIRECT] = ROW_ROOM_DIRECT,
};
static const int16_t member_role_numbers[] = {
    [MEMBER_ROLE_OWNER] = ROW_MEMBER_OWNER,
    [MEMBER_ROLE_ADMIN] = ROW_MEMBER_ADMIN,
    [MEMBER_ROLE_MEMBER] = ROW_MEMBER_PLAIN,
    [MEMBER_ROLE_READ_ONLY] = ROW_MEMBER_READ_ONLY,
};

static inline int16_t row_of_room_kind(enum room_kind kind)
{
    return room_kind_numbers[kind];
}

static inline int16_t row_of_member_role(enum member_role role)
{
    return member_role_numbers[role];
}

/* A number that stands for nothing is the least that it could be. */
static inline enum room_kind room_kind_of_row(int64_t row)
{
    for (enum room_kind kind = 0; kind < sizeof room_kind_numbers / sizeof *room_kind_numbers; kind++)
        if (room_kind_numbers[kind] == row)
            return kind;
    return ROOM_KIND_PRIVATE;
}

static inline enum member_role member_role_of_row(int64_t row)
{
    for (enum member_role role = 0; role < sizeof member_role_numbers / sizeof *member_role_numbers; role++)
        if (member_role_numbers[role] == row)
            return role;
    return MEMBER_ROLE_READ_ONLY;
}
