/* message_text: what the text of a message must be, counted as people count (Unicode's extended grapheme clusters, by
 * ICU). Pure; any thread. */
#pragma once

#include "ops/runtime/mem.h"

#define MESSAGE_GRAPHEMES_MAX 4000

/* User-perceived characters of valid UTF-8; stops counting behind `most`. */
int64_t text_graphemes(struct str s, int64_t most);
bool text_is_message(struct str s); /* at most MESSAGE_GRAPHEMES_MAX, and something to see */

/* Normalisation form C; the text itself when it is already. */
struct str text_normalise(struct arena *arena, struct str s);

/* There is something to see: not all of it is White_Space or Default_Ignorable_Code_Point (Unicode Standard Annex 44). */
bool text_is_visible(struct str s);

/* One emoji that is recommended for general interchange, fully qualified (UTS 51, RGI_Emoji). */
bool text_is_emoji(struct str s);
/* What was taken for an emoji before: any grapheme cluster that is shown as a picture. */
bool text_was_emoji(struct str s);
