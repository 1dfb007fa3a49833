/* deciders: which worker decides which stream, from the build: each worker's meson.build names its streams. */
#pragma once

#include "schemas/stream.h"

struct decider {
    const struct stream *stream;
    const char *worker; /* its name, which is its PostgreSQL schema's too */
};

extern const struct decider deciders[]; /* a row a stream; ended by stream NULL */

const char *decider_of(const struct stream *stream);  /* the worker's name; NULL: nobody decides it */
const struct stream *decider_stream(struct str name); /* "rooms"; NULL: there is none */
