/* tables: makes C of the tables that TABLES, a .def, declares. Include it with TABLES defined, once a header:
 *
 *     TABLE(ban, "messages", "bans")
 *     KEY_COLUMN(ban, room_id, UUID, "The room.")
 *     KEY_COLUMN(ban, user_id, UUID, "Who is kept out.")
 *     COLUMN(ban, until, TIME, NULLABLE, "Until when; zero: without end.")
 *     END_TABLE(ban)
 *
 * The key's columns come first. ENUM_COLUMN(table, column, enum, flags, doc) is a column of an enum of the schemas, whose
 * numbers are in the array <enum>_numbers (table.h). More fields of struct table may follow the name, like
 * .short_lived = true, HOOKS(ban_hooks) or .question = &find_bans.
 *
 * For each it makes struct ban_row, struct ban_key, ban_get, ban_touch, ban_insert, ban_put, ban_append, and ban_set_<column> for
 * each column that is not of the key. table_list.h makes the list for rows_create. */
#include "consumers/projection/row.h"

#define C_UUID   struct uuid
#define C_INT2   int16_t
#define C_INT4   int32_t
#define C_INT8   int64_t
#define C_BOOL   bool
#define C_TIME   int64_t
#define C_TEXT   struct str
#define C_BYTES  struct str
#define C_SEALED struct sealed
#define C_SYMBOL struct symbol
#define C_DIGEST struct digest

/* Texts are not kept, so only that both are nothing is known. */
#define SAME_UUID(a, b)   uuid_equal((a), (b))
#define SAME_INT2(a, b)   ((a) == (b))
#define SAME_INT4(a, b)   ((a) == (b))
#define SAME_INT8(a, b)   ((a) == (b))
#define SAME_BOOL(a, b)   ((a) == (b))
#define SAME_TIME(a, b)   ((a) == (b))
#define SAME_TEXT(a, b)   ((a).len == 0 && (b).len == 0)
#define SAME_BYTES(a, b)  ((a).len == 0 && (b).len == 0)
#define SAME_SEALED(a, b) ((a).state == ERASED && (b).state == ERASED)
#define SAME_SYMBOL(a, b) (memcmp(&(a), &(b), sizeof(a)) == 0)
#define SAME_DIGEST(a, b) (memcmp(&(a), &(b), sizeof(a)) == 0)

/* The number of each table. */
#define TABLE(t, ...) TABLE_##t,
#define KEY_COLUMN(t, c, type, doc)
#define COLUMN(t, c, type, flags, doc)
#define ENUM_COLUMN(t, c, of, flags, doc)
#define END_TABLE(t)
enum {
#include TABLES
};
#undef TABLE
#undef KEY_COLUMN
#undef COLUMN
#undef ENUM_COLUMN
#undef END_TABLE

/* The number of each column: ban_until. */
#define TABLE(t, ...)                     enum {
#define KEY_COLUMN(t, c, type, doc)       t##_##c,
#define COLUMN(t, c, type, flags, doc)    t##_##c,
#define ENUM_COLUMN(t, c, of, flags, doc) t##_##c,
#define END_TABLE(t)                                                                                                   \
    t##_column_count                                                                                                   \
    }                                                                                                                  \
    ;
#include TABLES
#undef TABLE
#undef KEY_COLUMN
#undef COLUMN
#undef ENUM_COLUMN
#undef END_TABLE

#define TABLE(t, ...)               struct t##_key {
#define KEY_COLUMN(t, c, type, doc) C_##type c;
#define COLUMN(t, c, type, flags, doc)
#define ENUM_COLUMN(t, c, of, flags, doc)
#define END_TABLE(t)                                                                                                   \
    }                                                                                                                  \
    ;
#include TABLES
#undef TABLE
#undef COLUMN
#undef ENUM_COLUMN

#define TABLE(t, ...)                                                                                                  \
    struct t##_row {                                                                                                   \
        struct row row;
#define COLUMN(t, c, type, flags, doc)    C_##type c;
#define ENUM_COLUMN(t, c, of, flags, doc) enum of c;
#include TABLES
#undef TABLE
#undef KEY_COLUMN
#undef COLUMN
#undef ENUM_COLUMN
#undef END_TABLE

#define TABLE(t, ...)                                                                                                  \
    static inline struct t##_row *t##_get(struct rows *rows, struct t##_key key)                                       \
    {                                                                                                                  \
        return (struct t##_row *)rows_get(rows, TABLE_##t, &key);                                                      \
    }                                                                                                                  \
    static inline struct t##_row *t##_touch(struct rows *rows, struct t##_key key)                                     \
    {                                                                                                                  \
        return (struct t##_row *)rows_touch(rows, TABLE_##t, &key);                                                    \
    }                                                                                                                  \
    static inline struct t##_row *t##_insert(struct rows *rows, struct t##_key key)                                    \
    {                                                                                                                  \
        return (struct t##_row *)rows_insert(rows, TABLE_##t, &key);                                                   \
    }                                                                                                                  \
    static inline struct t##_row *t##_put(struct rows *rows, struct t##_key key)                                       \
    {                                                                                                                  \
        struct t##_row *row = t##_get(rows, key);                                                                      \
        return row_exists(&row->row) ? row : t##_insert(rows, key);                                                    \
    }                                                                                                                  \
    static inline struct t##_row *t##_append(struct rows *rows, struct t##_key key)                                    \
    {                                                                                                                  \
        return (struct t##_row *)rows_append(rows, TABLE_##t, &key);                                                   \
    }
#define KEY_COLUMN(t, c, type, doc)
#define COLUMN(t, c, type, flags, doc)                                                                                 \
    static inline void t##_set_##c(struct t##_row *row, C_##type value)                                                \
    {                                                                                                                  \
        if (row_is_held(&row->row) || (row_knows(&row->row, t##_##c) && SAME_##type(row->c, value)))                   \
            return;                                                                                                    \
        row->c = value;                                                                                                \
        row_mark(&row->row, t##_##c);                                                                                  \
    }
#define ENUM_COLUMN(t, c, of, flags, doc)                                                                              \
    static inline void t##_set_##c(struct t##_row *row, enum of value)                                                 \
    {                                                                                                                  \
        if (row_is_held(&row->row) || (row_knows(&row->row, t##_##c) && row->c == value))                              \
            return;                                                                                                    \
        row->c = value;                                                                                                \
        row_mark(&row->row, t##_##c);                                                                                  \
    }
#define END_TABLE(t)
#include TABLES
#undef TABLE
#undef KEY_COLUMN
#undef COLUMN
#undef ENUM_COLUMN
#undef END_TABLE
