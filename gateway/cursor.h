/* cursor: where a list goes on, as an opaque string for the client: the position (16 bytes, or any number of them) and
 * a keyed check (BLAKE2b) over it and the list it belongs to: a cursor that was changed, or of another list, is
 * refused. Any thread. */
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

/* For positions of another length, up to CURSOR_TEXT_MAX bytes; in the arena. */
#define CURSOR_TEXT_MAX 512
struct str cursor_format_text(const struct cursors *c, struct arena *arena, struct str list, struct str position);
bool cursor_parse_text(const struct cursors *c, struct arena *arena, struct str list, struct str text,
                       struct str *ret_position);
