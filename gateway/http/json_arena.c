#include "gateway/http/json_arena.h"

#include <pthread.h>
#include <stdlib.h>

static _Thread_local struct arena *parsing;

static void *take(size_t size)
{
    return parsing ? arena_alloc_raw(parsing, size) : malloc(size);
}

static void give_back(void *pointer)
{
    if (!parsing)
        free(pointer);
}

static void start(void)
{
    json_set_alloc_funcs(take, give_back);
    json_object_seed(0); /* the hash's key: random, against made-up collisions */
}

void json_arena_init(void)
{
    static pthread_once_t started = PTHREAD_ONCE_INIT;
    pthread_once(&started, start);
}

json_t *json_parse(struct arena *arena, struct str text, json_error_t *ret_error)
{
    parsing = arena;
    json_t *value = json_loadb(text.len ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, ret_error);
    parsing = NULL;
    return value;
}
