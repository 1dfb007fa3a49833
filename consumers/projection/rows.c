#include "consumers/projection/rows_table.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

/* --- the map --- */

static uint64_t hash_of(const struct rows_table *t, const void *key)
{
    _Static_assert(crypto_shorthash_BYTES == sizeof(uint64_t), "SipHash-2-4");
    uint64_t hash;
    crypto_shorthash((unsigned char *)&hash, key, t->key_size, t->rows->seed);
    return hash;
}

static struct slot *slot_of(const struct rows_table *t, const void *key, uint64_t hash)
{
    for (size_t i = hash & t->slot_mask;; i = (i + 1) & t->slot_mask) {
        struct slot *s = &t->slots[i];
        if (!s->row || (s->hash == hash && memcmp(row_key(t, s->row), key, t->key_size) == 0))
            return s;
    }
}

static void slots_grow(struct rows_table *t, size_t size)
{
    struct slot *old = t->slots;
    const size_t old_size = old ? t->slot_mask + 1 : 0;
    t->slots = mem_alloc(size * sizeof *t->slots);
    t->slot_mask = size - 1;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].row) {
            size_t k = old[i].hash & t->slot_mask;
            while (t->slots[k].row)
                k = (k + 1) & t->slot_mask;
            t->slots[k] = old[i];
        }
    free(old);
}

static struct row *pool_row(struct row_pool *pool, size_t size)
{
    if (pool->used == pool->block_count * ROWS_BLOCK) {
        if (pool->block_count == pool->block_capacity) {
            pool->block_capacity = pool->block_capacity ? 2 * pool->block_capacity : 16;
            pool->blocks = mem_resize(pool->blocks, pool->block_capacity * sizeof *pool->blocks);
        }
        pool->blocks[pool->block_count++] = mem_resize(NULL, ROWS_BLOCK * size);
    }
    const size_t i = pool->used++;
    return (struct row *)(void *)(pool->blocks[i / ROWS_BLOCK] + i % ROWS_BLOCK * size);
}

static void pool_finish(struct row_pool *pool)
{
    for (size_t i = 0; i < pool->block_count; i++)
        free(pool->blocks[i]);
    free(pool->blocks);
}

struct row *rows_known(const struct rows_table *t, const void *key)
{
    return t->count ? slot_of(t, key, hash_of(t, key))->row : NULL;
}

/* The row in memory; one of which nothing is known where there is none. */
static struct row *claim(struct rows_table *t, const void *key)
{
    const uint64_t hash = hash_of(t, key);
    struct slot *s = slot_of(t, key, hash);
    if (s->row)
        return s->row;
    if (2 * ++t->count > t->slot_mask) {
        slots_grow(t, 2 * (t->slot_mask + 1));
        s = slot_of(t, key, hash);
    }
    struct row *row = pool_row(&t->pool, t->table->row_size);
    memcpy(row, t->blank, t->table->row_size);
    memcpy(row_key(t, row), key, t->key_size);
    row->known = t->keys;
    row->presence = ROW_UNKNOWN;
    *s = (struct slot){ hash, row };
    return row;
}

void rows_forget(struct rows_table *t)
{
    memset(t->slots, 0, (t->slot_mask + 1) * sizeof *t->slots);
    memset(t->arrays, 0, sizeof t->arrays);
    t->count = t->wanted_count = t->appended_count = 0;
    t->pool.used = t->appended_pool.used = 0;
    t->first = NULL;
    t->last = &t->first;
    t->hooked = 0;
    t->appending = NULL;
}

void rows_clear(struct rows *rows)
{
    for (size_t i = 0; i < rows->table_count; i++)
        rows_forget(&rows->tables[i]);
}

size_t rows_size(const struct rows *rows)
{
    size_t sum = 0;
    for (size_t i = 0; i < rows->table_count; i++)
        sum += rows->tables[i].count;
    return sum;
}

struct rows_counts rows_counts(const struct rows *rows)
{
    return rows->counts;
}

/* --- life --- */

static void column_check(const struct column *c)
{
    const bool text = c->type == COLUMN_TEXT || c->type == COLUMN_BYTES || c->type == COLUMN_SEALED;
    assert(!text || ((c->flags & WRITTEN_ONLY) && !(c->flags & KEY)));
    assert((c->type == COLUMN_ENUM) == (c->numbers != NULL));
    (void)text;
}

static void blank_set(struct row *blank, const struct column *c)
{
    void *value = (char *)blank + c->offset;
    if (c->type == COLUMN_SEALED)
        ((struct sealed *)value)->state = ERASED;
    if (!(c->flags & DEFAULT_ONE))
        return;
    if (c->type == COLUMN_INT4)
        *(int32_t *)value = 1;
    else if (c->type == COLUMN_INT8)
        *(int64_t *)value = 1;
    else
        assert(false); /* no other type has it */
}

static void table_init(struct rows_table *t, struct rows *rows, const struct table *table)
{
    *t = (struct rows_table){
        .public = { &rows->step },
        .rows = rows,
        .table = table,
        .key_offset = table->columns[0].offset,
    };
    assert(table->column_count <= COLUMNS_MAX && table->hook_count <= 32);
    t->blank = mem_alloc(table->row_size);
    t->blank->of = &t->public;
    t->blank->presence = ROW_PRESENT;
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *c = &table->columns[i];
        const uint64_t bit = (uint64_t)1 << i;
        column_check(c);
        blank_set(t->blank, c);
        t->all |= bit;
        if (c->flags & KEY) {
            assert(t->key_columns == i);
            t->keys |= bit;
            t->key_columns++;
            assert(c->offset == t->key_offset + t->key_size); /* no padding: keys are compared and hashed as bytes */
            t->key_size += value_size(c->type);
        } else if (!(c->flags & WRITTEN_ONLY)) {
            t->kept |= bit;
        }
        if (c->flags & (NULLABLE | DEFAULT_ZERO | DEFAULT_ONE))
            t->with_default |= bit;
    }
    t->last = &t->first;
    slots_grow(t, 1024);
}

struct rows *rows_create(const struct table *const *tables, size_t count)
{
    struct rows *rows = mem_alloc(sizeof *rows);
    rows->tables = mem_alloc(count * sizeof *rows->tables);
    rows->table_count = count;
    randombytes_buf(rows->seed, sizeof rows->seed);
    for (size_t i = 0; i < count; i++)
        table_init(&rows->tables[i], rows, tables[i]);
    return rows;
}

void rows_destroy(struct rows *rows)
{
    if (!rows)
        return;
    for (size_t i = 0; i < rows->table_count; i++) {
        struct rows_table *t = &rows->tables[i];
        pool_finish(&t->pool);
        pool_finish(&t->appended_pool);
        free(t->slots);
        free(t->blank);
        free(t->wanted);
        free(t->appended);
        free(t->appended_hashes);
    }
    free(rows->tables);
    free(rows);
}

/* --- asking --- */

static void want(struct rows_table *t, struct row *row)
{
    if (row->wanted)
        return;
    row->wanted = true;
    if (t->wanted_count == t->wanted_capacity) {
        t->wanted_capacity = t->wanted_capacity ? 2 * t->wanted_capacity : 256;
        t->wanted = mem_resize(t->wanted, t->wanted_capacity * sizeof *t->wanted);
    }
    t->wanted[t->wanted_count++] = row;
}

static bool is_whole(const struct rows_table *t, const struct row *row)
{
    return row->presence == ROW_ABSENT || (row->presence == ROW_PRESENT && (row->known & t->kept) == t->kept);
}

void row_merge(const struct rows_table *t, struct row *row, const struct row *other)
{
    unsigned i;
    EACH_COLUMN (t->kept & ~row->known, i) {
        const struct column *c = &t->table->columns[i];
        memcpy((char *)row + c->offset, (const char *)other + c->offset, value_size(c->type));
    }
    row->known |= t->kept;
    row->presence = ROW_PRESENT;
    row->stored = row->sure = true;
}

/* Appended since the last flush, before anybody asked for it: the table does not have it yet. */
static bool find_appended(const struct rows_table *t, struct row *row)
{
    if (t->appended_count == 0)
        return false;
    const uint64_t hash = hash_of(t, row_key(t, row));
    for (size_t i = t->appended_count; i-- > 0;)
        if (t->appended_hashes[i] == hash && memcmp(row_key(t, t->appended[i]), row_key(t, row), t->key_size) == 0) {
            row_merge(t, row, t->appended[i]);
            return true;
        }
    return false;
}

struct row *rows_get(struct rows *rows, size_t table, const void *key)
{
    struct rows_table *t = &rows->tables[table];
    append_finish(t);
    struct row *row = claim(t, key);
    if (!is_whole(t, row) && !find_appended(t, row)) {
        assert(rows->step.asking || !rows->step.changed); /* gets come first */
        rows->step.asking = true;
        want(t, row);
        return t->blank;
    }
    return row;
}

err rows_run(struct rows *rows, struct pg *pg, rows_step *step, void *context, size_t count)
{
    for (size_t i = 0; i < count;) {
        rows->step.asking = rows->step.changed = false;
        rows->conflict = NULL;
        step(rows, context, i);
        if (rows->conflict)
            return err_set(REJECT, "a row of %s is there already", rows->conflict);
        if (!rows->step.asking) {
            i++;
            continue;
        }
        rows->counts.repeated += count - i;
        for (size_t k = i + 1; k < count; k++)
            step(rows, context, k);
        rows->step.asking = false;
        TRY(rows_load(rows, pg));
    }
    return OK;
}

struct fold {
    rows_evolve *evolve;
    const struct placed_fact *facts;
};

static void fold_step(struct rows *rows, void *context, size_t i)
{
    const struct fold *f = context;
    f->evolve(rows, &f->facts[i]);
}

err rows_fold(struct rows *rows, struct pg *pg, rows_evolve *evolve, const struct placed_fact *facts, size_t count)
{
    return rows_run(rows, pg, fold_step, &(struct fold){ evolve, facts }, count);
}

void rows_begin(struct rows *rows, struct arena *arena)
{
    rows->arena = arena;
    rows->step.asking = rows->step.changed = false;
}

/* --- changing --- */

void row_changes(struct row *row)
{
    struct rows_table *t = table_of(row);
    row->dirty = true;
    row->next = NULL;
    *t->last = row;
    t->last = &row->next;
}

struct row *rows_touch(struct rows *rows, size_t table, const void *key)
{
    struct rows_table *t = &rows->tables[table];
    if (rows->step.asking)
        return t->blank;
    append_finish(t);
    struct row *row = claim(t, key);
    if (row->presence == ROW_UNKNOWN) {
        row->presence = ROW_PRESENT;
        row->stored = true;
    }
    return row;
}

struct row *rows_insert(struct rows *rows, size_t table, const void *key)
{
    struct rows_table *t = &rows->tables[table];
    if (rows->step.asking)
        return t->blank;
    struct row *row = claim(t, key);
    if (row->presence == ROW_PRESENT)
        rows->conflict = t->table->name;
    const size_t after = t->key_offset + t->key_size;
    memcpy((char *)row + after, (char *)t->blank + after, t->table->row_size - after);
    row->presence = ROW_PRESENT;
    row->sure = true;
    row->known = t->all;
    row->changed = t->all & ~t->keys;
    rows->step.changed = true;
    if (!row->dirty)
        row_changes(row);
    return row;
}

void rows_remove(struct row *row)
{
    struct rows *rows = table_of(row)->rows;
    if (rows->step.asking)
        return;
    rows->step.changed = true;
    row->presence = ROW_ABSENT;
    row->changed = 0;
    if (!row->dirty)
        row_changes(row);
}

void rows_hook(struct row *row, unsigned hook)
{
    struct rows_table *t = table_of(row);
    if (t->rows->step.asking)
        return;
    t->rows->step.changed = true;
    row->hooks |= 1u << hook;
    t->hooked |= 1u << hook;
    if (!row->dirty)
        row_changes(row);
}

/* --- appending --- */

/* A column that all rows so far have left out has no array yet. */
void append_finish(struct rows_table *t)
{
    const struct row *row = t->appending;
    struct arena *arena = t->rows->arena;
    if (!row)
        return;
    t->appending = NULL;
    unsigned i;
    const uint64_t own = row->changed | t->keys | (t->all & ~t->with_default);
    EACH_COLUMN (t->all, i) {
        const struct column *c = &t->table->columns[i];
        if (!t->arrays[i]) {
            if (!(own >> i & 1))
                continue;
            t->arrays[i] = pg_array(arena, value_pg_type(c->type), APPENDED_HINT);
            for (size_t k = 0; k + 1 < t->appended_count; k++)
                value_put(t->arrays[i], arena, c, t->blank);
        }
        value_put(t->arrays[i], arena, c, row);
    }
    struct row *asked = t->count ? slot_of(t, row_key(t, row), t->appended_hashes[t->appended_count - 1])->row : NULL;
    if (asked) { /* somebody has asked for it, and it was not there */
        asked->known = t->keys;
        row_merge(t, asked, row);
    }
}

struct row *rows_append(struct rows *rows, size_t table, const void *key)
{
    struct rows_table *t = &rows->tables[table];
    if (rows->step.asking)
        return t->blank;
    append_finish(t);
    if (t->appended_count == t->appended_capacity) {
        t->appended_capacity = t->appended_capacity ? 2 * t->appended_capacity : APPENDED_HINT;
        t->appended = mem_resize(t->appended, t->appended_capacity * sizeof(struct row *));
        t->appended_hashes = mem_resize(t->appended_hashes, t->appended_capacity * sizeof *t->appended_hashes);
    }
    struct row *row = pool_row(&t->appended_pool, t->table->row_size);
    memcpy(row, t->blank, t->table->row_size);
    memcpy(row_key(t, row), key, t->key_size);
    row->presence = ROW_PRESENT;
    row->known = t->all;
    row->dirty = true;
    t->appended_hashes[t->appended_count] = hash_of(t, key);
    t->appended[t->appended_count++] = row;
    t->appending = row;
    rows->step.changed = true;
    return row;
}
