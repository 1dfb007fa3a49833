/* cursor: where a list goes on, as an opaque string for the client. 16 bytes of position and a keyed check (BLAKE2b)
 * over them and the list they belong to: a cursor that was changed, or of another list, is refused. Any thread. */
#pragma once

#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

#define CURSOR_LEN 43 /* base64url of 32 bytes */

struct cursors;

struct cursors *cursors_create(const uint8_t key[32]);
void cursors_destroy(struct cursors *c);

/* `list` names what is paged, with its fixed parameters: "rooms:mine", "members:<room id>". */
void cursor_format(const struct cursors *c, struct str list, struct uuid position, char ret_text[CURSOR_LEN + 1]);
bool cursor_parse(const struct cursors *c, struct str list, struct str text, struct uuid *ret_position);
