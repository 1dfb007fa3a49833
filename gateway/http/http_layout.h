/* http_layout: whether the head of a request is exactly what libmicrohttpd made of it.
 *
 * libmicrohttpd 0.9.75 reads heads leniently: a line may end in a bare LF, a line that begins with a NUL ends the head,
 * a NUL ends a header's value and hides what stands behind it, header lines may be folded, several spaces may stand
 * between method and target. Another parser in front would see other headers, or another request. The library tells
 * none of that, but it parses in place, leaving every byte but its separators, so its own strings can be compared with
 * the bytes they lie in: method NUL target NUL version NUL NUL, then name NUL space* value NUL NUL for each header,
 * then NUL NUL, and nothing else, up to the size of the head that it reports. */
#pragma once

#include "gateway/http/http_check.h"

/* The layout is that of this version of the library only. */
bool http_layout_is_known(const char *libmicrohttpd_version);

/* `head` holds the library's own pointers, but for target; target_in_place is where it lies. `size` is the number of
 * bytes from method to the end of the head. */
bool http_layout_is_clean(const struct http_head *head, const char *target_in_place, size_t size);
