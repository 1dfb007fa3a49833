#include "consumers/outcome/deciders.h"

#include <stddef.h>

#define DECIDER(worker, name) extern const struct stream name##_stream;
#include "consumers/deciders.gen.def"
#undef DECIDER

const struct decider deciders[] = {
#define DECIDER(worker, name) { &name##_stream, #worker },
#include "consumers/deciders.gen.def"
#undef DECIDER
    { NULL, NULL },
};

const char *decider_of(const struct stream *stream)
{
    for (const struct decider *d = deciders; d->stream; d++)
        if (d->stream == stream)
            return d->worker;
    return NULL;
}

const struct stream *decider_stream(struct str name)
{
    for (const struct decider *d = deciders; d->stream; d++)
        if (str_equal(str_of(d->stream->name), name))
            return d->stream;
    return NULL;
}
