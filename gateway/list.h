/* list: a page of a list that is read by its keys: ?limit=&cursor= in, {"items": […], "nextCursor": …} out. The
 * position is what the query goes on behind; the client gets it as a cursor that belongs to this list with these
 * parameters. */
#pragma once

#include "gateway/request.h"

#define LIST_MAX     100
#define LIST_DEFAULT 50

struct list {
    struct str name;  /* what is listed, with its parameters: a cursor is good for no other list */
    struct str after; /* position; empty: from the beginning */
    int limit;
};

/* `name` is filled. On the thread that parses the request. false: a problem has been filled. */
bool list_begin(struct request *r, struct list *l);

/* A writer that stands in "items". */
struct json list_open(struct request *r);
/* `last` is the position of the last item shown; more: others follow. */
void list_close(struct request *r, struct json *j, const struct list *l, bool more, struct str last);
