/* users/names: when are two names one? By ICU: NFKC, full case folding, the spoof checker. All text is valid UTF-8 and
 * stays in the arena. Any thread. */
#pragma once

#include "ops/runtime/mem.h"

/* For the blind index: white space at the ends dropped, NFKC_Casefold (Unicode Standard Annex 31, section 5.1.5). */
struct str username_normalise(struct arena *arena, struct str username);
/* As usernames. The part before the @ is folded too: two people do not share an address but for its case. */
struct str email_normalise(struct arena *arena, struct str email);

/* May be taken for another name because it mixes scripts, hides marks or mixes digits of several scripts
 * (Unicode Technical Standard 39: not highly restrictive, invisible characters, mixed numbers). */
bool username_is_spoof(struct str username);

/* For searching: case folded and without accents; runs of white space become one space. "Ólafur  ARNALDS" is "olafur
 * arnalds". */
struct str search_fold(struct arena *arena, struct str text);
