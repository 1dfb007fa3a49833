/* messages/tables: the rows that facts of the stream rooms change (tables.def). */
#pragma once

#include "schemas/rooms.gen.h"

#define TABLES "consumers/messages/tables.def"
#include "consumers/projection/tables.h"
#undef TABLES

/* Named SQL on messages (rows_hook). */
enum { KEEP_ORIGINAL, COUNT_DELETED, DROP_VERSIONS, DROP_REACTIONS, RENDER_REACTIONS };
