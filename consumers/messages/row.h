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

static inline int16_t row_of_room_kind(enum room_kind kind)
{
    switch (kind) {
    case ROOM_KIND_PUBLIC:
        return ROW_ROOM_PUBLIC;
    case ROOM_KIND_DIRECT:
        return ROW_ROOM_DIRECT;
    case ROOM_KIND_PRIVATE:
        break;
    }
    return ROW_ROOM_PRIVATE;
}

static inline enum room_kind room_kind_of_row(int64_t row)
{
    return row == ROW_ROOM_PUBLIC ? ROOM_KIND_PUBLIC : row == ROW_ROOM_DIRECT ? ROOM_KIND_DIRECT : ROOM_KIND_PRIVATE;
}

static inline int16_t row_of_member_role(enum member_role role)
{
    switch (role) {
    case MEMBER_ROLE_OWNER:
        return ROW_MEMBER_OWNER;
    case MEMBER_ROLE_ADMIN:
        return ROW_MEMBER_ADMIN;
    case MEMBER_ROLE_MEMBER:
        return ROW_MEMBER_PLAIN;
    case MEMBER_ROLE_READ_ONLY:
        break;
    }
    return ROW_MEMBER_READ_ONLY;
}

static inline enum member_role member_role_of_row(int64_t row)
{
    return row == ROW_MEMBER_OWNER   ? MEMBER_ROLE_OWNER
           : row == ROW_MEMBER_ADMIN ? MEMBER_ROLE_ADMIN
           : row == ROW_MEMBER_PLAIN ? MEMBER_ROLE_MEMBER
                                     : MEMBER_ROLE_READ_ONLY;
}
