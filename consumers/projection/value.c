/* Values of columns: from rows into arrays, from results into rows. */
#include <assert.h>

#include "consumers/projection/rows_table.h"
#include "consumers/projection/text.h"

static const struct {
    size_t size;
    enum pg_type pg;
    const char *sql;
} types[] = {
    [COLUMN_UUID] = { sizeof(struct uuid), PG_UUID, "uuid" },
    [COLUMN_INT2] = { sizeof(int16_t), PG_INT2, "smallint" },
    [COLUMN_INT4] = { sizeof(int32_t), PG_INT4, "int" },
    [COLUMN_INT8] = { sizeof(int64_t), PG_INT8, "bigint" },
    [COLUMN_BOOL] = { sizeof(bool), PG_BOOL, "boolean" },
    [COLUMN_TIME] = { sizeof(int64_t), PG_TIMESTAMPTZ, "timestamptz" },
    [COLUMN_ENUM] = { sizeof(int), PG_INT2, "smallint" },
    [COLUMN_TEXT] = { sizeof(struct str), PG_TEXT, "text" },
    [COLUMN_BYTES] = { sizeof(struct str), PG_BYTEA, "bytea" },
    [COLUMN_SEALED] = { sizeof(struct sealed), PG_TEXT, "text" },
    [COLUMN_SYMBOL] = { sizeof(struct symbol), PG_TEXT, "text" },
    [COLUMN_DIGEST] = { sizeof(struct digest), PG_BYTEA, "bytea" },
};

enum pg_type value_pg_type(enum column_type type)
{
    return types[type].pg;
}

const char *value_sql_type(enum column_type type)
{
    return types[type].sql;
}

size_t value_size(enum column_type type)
{
    return types[type].size;
}

/* What stands for NULL in a column that may be: all zeros, or no text. */
static bool is_nothing(const struct column *c, const void *value)
{
    static const char zeros[sizeof(struct symbol)];
    switch (c->type) {
    case COLUMN_TEXT:
    case COLUMN_BYTES:
        return ((const struct str *)value)->len == 0;
    case COLUMN_SEALED:
        return ((const struct sealed *)value)->state == ERASED;
    default:
        return memcmp(value, zeros, types[c->type].size) == 0;
    }
}

void value_put(struct pg_array *array, struct arena *arena, const struct column *column, const struct row *row)
{
    const void *value = (const char *)row + column->offset;
    if ((column->flags & NULLABLE || column->type == COLUMN_SEALED) && is_nothing(column, value)) {
        pg_array_null(array);
        return;
    }
    switch (column->type) {
    case COLUMN_UUID:
        pg_array_uuid(array, *(const struct uuid *)value);
        break;
    case COLUMN_INT2:
        pg_array_int2(array, *(const int16_t *)value);
        break;
    case COLUMN_INT4:
        pg_array_int4(array, *(const int32_t *)value);
        break;
    case COLUMN_INT8:
        pg_array_int8(array, *(const int64_t *)value);
        break;
    case COLUMN_BOOL:
        pg_array_bool(array, *(const bool *)value);
        break;
    case COLUMN_TIME:
        pg_array_time(array, *(const int64_t *)value);
        break;
    case COLUMN_ENUM:
        assert((size_t) * (const int *)value < column->number_count);
        pg_array_int2(array, column->numbers[*(const int *)value]);
        break;
    case COLUMN_TEXT:
        pg_array_str(array, text_storable(arena, *(const struct str *)value));
        break;
    case COLUMN_BYTES:
        pg_array_str(array, *(const struct str *)value);
        break;
    case COLUMN_SEALED:
        text_sealed(array, arena, value);
        break;
    case COLUMN_SYMBOL:
        pg_array_str(array, text_storable(arena, symbol_str(value)));
        break;
    case COLUMN_DIGEST:
        pg_array_str(array, (struct str){ value, sizeof(struct digest) });
        break;
    }
}

static void fill(void *to, size_t size, struct str from)
{
    memset(to, 0, size);
    if (from.len > 0)
        memcpy(to, from.ptr, from.len < size ? from.len : size);
}

static bool read_enum(const struct column *column, int64_t number, int *ret)
{
    for (size_t value = 0; value < column->number_count; value++)
        if (column->numbers[value] == number) {
            *ret = (int)value;
            return true;
        }
    return false;
}

bool value_read(struct row *row, const struct column *column, const PGresult *r, int i, int k)
{
    void *value = (char *)row + column->offset;
    switch (column->type) {
    case COLUMN_UUID:
        *(struct uuid *)value = pg_uuid(r, i, k);
        break;
    case COLUMN_INT2:
        *(int16_t *)value = (int16_t)pg_int(r, i, k);
        break;
    case COLUMN_INT4:
        *(int32_t *)value = (int32_t)pg_int(r, i, k);
        break;
    case COLUMN_INT8:
        *(int64_t *)value = pg_int(r, i, k);
        break;
    case COLUMN_BOOL:
        *(bool *)value = pg_bool(r, i, k);
        break;
    case COLUMN_TIME:
        *(int64_t *)value = pg_null(r, i, k) ? 0 : pg_time(r, i, k);
        break;
    case COLUMN_ENUM:
        return read_enum(column, pg_int(r, i, k), value);
    case COLUMN_SYMBOL:
        fill(value, sizeof(struct symbol), pg_str(r, i, k));
        break;
    case COLUMN_DIGEST:
        fill(value, sizeof(struct digest), pg_str(r, i, k));
        break;
    case COLUMN_TEXT:
    case COLUMN_BYTES:
    case COLUMN_SEALED:
        assert(false); /* never kept */
        break;
    }
    return true;
}

void values_put(struct pg_args *args, const struct rows_table *t, uint64_t mask, struct row *const *list, size_t count)
{
    unsigned i;
    EACH_COLUMN (mask, i) {
        const struct column *c = &t->table->columns[i];
        struct pg_array *array = pg_array(args->arena, value_pg_type(c->type), count);
        for (size_t k = 0; k < count; k++)
            value_put(array, args->arena, c, list[k]);
        pg_arg_array(args, array);
    }
}
