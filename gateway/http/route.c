#include "gateway/http/route.h"

#include <assert.h>
#include <stdlib.h>

#define METHODS 5

/* A segment of a path: a literal one, or a {…} one (name.ptr NULL). Siblings are a list, literal ones first, so that
 * "/users/me" wins over "/users/{user}". */
struct node {
    struct str name;
    struct node *child, *sibling;
    const struct route *rows[METHODS];
    unsigned allowed;
};

struct router {
    struct node root;
};

static const char *const method_names[METHODS] = {
    [GET] = "GET", [POST] = "POST", [PUT] = "PUT", [PATCH] = "PATCH", [DELETE] = "DELETE"
};

const char *method_name(enum method method)
{
    return method_names[method];
}

bool method_parse(struct str name, enum method *ret)
{
    for (int i = 0; i < METHODS; i++)
        if (str_equal(name, str_of(method_names[i]))) {
            *ret = (enum method)i;
            return true;
        }
    return false;
}

/* Cuts the next "/segment" off *path. */
static struct str next_segment(struct str *path)
{
    const char *start = path->ptr + 1;
    size_t left = path->len - 1;
    const char *slash = memchr(start, '/', left);
    size_t len = slash ? (size_t)(slash - start) : left;
    *path = (struct str){ start + len, left - len };
    return (struct str){ start, len };
}

static struct node *node_claim(struct node *parent, struct str segment)
{
    bool is_param = segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
    struct node **link = &parent->child;
    for (; *link; link = &(*link)->sibling) {
        struct node *node = *link;
        if (is_param ? !node->name.ptr : node->name.ptr && str_equal(node->name, segment))
            return node;
        if (!is_param && !node->name.ptr)
            break;
    }
    struct node *node = mem_alloc(sizeof *node);
    if (!is_param)
        node->name = segment;
    node->sibling = *link;
    *link = node;
    return node;
}

struct router *router_create(const struct route *table)
{
    struct router *router = mem_alloc(sizeof *router);
    for (const struct route *row = table; row->path; row++) {
        struct node *node = &router->root;
        assert(row->path[0] == '/');
        for (struct str path = str_of(row->path); path.len > 0;)
            node = node_claim(node, next_segment(&path));
        assert(!node->rows[row->method]);
        node->rows[row->method] = row;
        node->allowed |= 1u << row->method;
    }
    return router;
}

static void node_free(struct node *node)
{
    for (struct node *child = node->child, *next; child; child = next) {
        next = child->sibling;
        node_free(child);
        free(child);
    }
}

void router_destroy(struct router *router)
{
    if (!router)
        return;
    node_free(&router->root);
    free(router);
}

/* Depth is bounded by the table: no recursion where no node matches. */
static const struct node *node_find(const struct node *node, struct str path, struct str *params, size_t *count)
{
    if (path.len == 0)
        return node->allowed ? node : NULL;
    struct str segment = next_segment(&path);
    for (const struct node *child = node->child; child; child = child->sibling) {
        size_t before = *count;
        if (child->name.ptr ? !str_equal(child->name, segment) : segment.len == 0 || before == REQUEST_MAX_PARAMS)
            continue;
        if (!child->name.ptr)
            params[(*count)++] = segment;
        const struct node *found = node_find(child, path, params, count);
        if (found)
            return found;
        *count = before;
    }
    return NULL;
}

const struct route *router_find(const struct router *router, enum method method, struct str path,
                                struct str *ret_params, size_t *ret_count, unsigned *ret_allowed)
{
    *ret_count = 0;
    *ret_allowed = 0;
    if (path.len == 0 || path.ptr[0] != '/')
        return NULL;
    const struct node *node = node_find(&router->root, path, ret_params, ret_count);
    if (!node)
        return NULL;
    *ret_allowed = node->allowed;
    return node->rows[method];
}

struct str route_path(const struct route_alias *aliases, struct str path, struct arena *arena)
{
    for (const struct route_alias *alias = aliases; alias && alias->prefix; alias++) {
        size_t len = strlen(alias->prefix);
        if (path.len >= len && memcmp(path.ptr, alias->prefix, len) == 0 && (path.len == len || path.ptr[len] == '/'))
            return str_of(arena_printf(arena, "%s%.*s", alias->stands_for, (int)(path.len - len), path.ptr + len));
    }
    return path;
}
