/* profile_text: the forms that texts of a profile must have. Pure. */
#pragma once

#include "ops/runtime/mem.h"

bool text_is_phone(struct str s);        /* E.164: '+' and 2 to 15 digits, the first not 0 */
bool text_is_date(struct str s);         /* RFC 3339 full-date, a day there is, from 1900 to now */
bool text_is_web_address(struct str s);  /* http:// or https://, a host, no white space */
bool text_is_language_tag(struct str s); /* BCP 47, as ICU reads it */
bool text_is_time_zone(struct str s);    /* a name of the IANA database that ICU knows */
bool text_is_prose(struct str s);        /* none, or something to see; no control characters but line breaks and tabs */
