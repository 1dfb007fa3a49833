/* table_list: with TABLES (see tables.h) and a name, TABLES_LIST, it defines const struct table *const name[], the tables
 * in their order, which rows_create takes. Include it in one .c file. */
#include "consumers/projection/table.h"

#define HOOKS(list) .hooks = (list), .hook_count = sizeof(list) / sizeof *(list)

#define TABLE(t, ...)                  static const struct column t##_columns[] = {
#define KEY_COLUMN(t, c, type, doc)    { #c, doc, COLUMN_##type, offsetof(struct t##_row, c), KEY, NULL, 0 },
#define COLUMN(t, c, type, flags, doc) { #c, doc, COLUMN_##type, offsetof(struct t##_row, c), flags, NULL, 0 },
#define ENUM_COLUMN(t, c, of, flags, doc)                                                                              \
    {                                                                                                                  \
        #c,                                                                                                            \
        doc,                                                                                                           \
        COLUMN_ENUM,                                                                                                   \
        offsetof(struct t##_row, c),                                                                                   \
        flags,                                                                                                         \
        of##_numbers,                                                                                                  \
        sizeof of##_numbers / sizeof *of##_numbers                                                                     \
    },
#define END_TABLE(t)                                                                                                   \
    }                                                                                                                  \
    ;
#include TABLES
#undef TABLE
#undef KEY_COLUMN
#undef COLUMN
#undef ENUM_COLUMN
#undef END_TABLE

#define TABLE(t, in, called, ...)                                                                                      \
    &(const struct table){ .schema = in,                                                                               \
                           .name = called,                                                                             \
                           .columns = t##_columns,                                                                     \
                           .column_count = t##_column_count,                                                           \
                           .row_size = sizeof(struct t##_row),                                                         \
                           __VA_ARGS__ },
#define KEY_COLUMN(t, c, type, doc)
#define COLUMN(t, c, type, flags, doc)
#define ENUM_COLUMN(t, c, of, flags, doc)
#define END_TABLE(t)
const struct table *const TABLES_LIST[] = {
#include TABLES
};
#undef TABLE
#undef KEY_COLUMN
#undef COLUMN
#undef ENUM_COLUMN
#undef END_TABLE
#undef TABLES_LIST
#undef TABLES
