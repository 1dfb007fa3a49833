/* The property test's streams: for each a random command of a story, and every question about it. A story has ids and
 * names of its own. */
#pragma once

#include "consumers/loop/worker.h"
#include "consumers/projection/rows.h"
#include "tests/consumers/chance.h"

enum { PEOPLE = 3 }; /* of a story */

struct game {
    size_t command_size, fact_size;
    void (*random)(struct arena *arena, uint32_t story, struct any_record *ret);
    /* Fills the nth question; false after the last. */
    bool (*question)(struct arena *arena, uint32_t story, uint32_t n, struct any_record *ret);
    /* What an accepted fact says that comes from the state; may be NULL. */
    int64_t (*from_state)(const struct any_record *fact);
    /* Copies what a fact has of the state's memory, which lives no longer than a batch; may be NULL. */
    void (*keep)(struct arena *arena, struct any_record *fact);
    /* Looks at the rows after a batch of this story; may be NULL. */
    void (*look)(struct pg *pg, uint32_t story);
    /* What the folds write, and in which order a table's rows are compared; ended by NULL. */
    const struct game_table {
        const char *name, *key;
        const char *as; /* what of it is compared; NULL: all */
    } * tables;
    /* The second way to fold, by rows in memory; NULL: this stream has none. */
    const struct table *const *rows;
    const size_t *row_count;
    rows_evolve *evolve;
};

extern const struct game accounts_game, sessions_game, rooms_game;

/* --- chance --- */

/* The id of the nth thing of a kind in a story. */
struct uuid id_of(uint32_t story, char kind, uint32_t n);
/* 32 bytes, likewise. */
struct str hash_of(struct arena *arena, uint32_t story, char kind, uint32_t n);
/* What opening a sealed field may give: text, text that no table takes, nothing because its person was erased. */
struct sealed text_of(struct arena *arena);
