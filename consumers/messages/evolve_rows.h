/* messages/evolve_rows: facts of the stream rooms folded by rows in memory (consumers/projection/rows.h). It is to take the
 * place of load, evolve and fold; until then the property test holds it to them. */
#pragma once

#include <stddef.h>

#include "consumers/projection/fact.h"

struct rows;
struct table;

extern const struct table *const rooms_tables[]; /* tables.def */
extern const size_t rooms_table_count;

void rooms_evolve_rows(struct rows *rows, const struct placed_fact *fact);
