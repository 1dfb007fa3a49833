/* A codec, an arena and a buffer of each test's own. */
#pragma once

#include "schemas/stream.h"
#include "tests/suite.h"

static struct codec *codec;
static struct arena arena;
static struct buf out;

static void set_up(void)
{
    ck_assert_int_eq(codec_create(NULL, &codec), OK);
    arena_init(&arena, 0);
}

static void tear_down(void)
{
    codec_destroy(codec);
    arena_finish(&arena);
    buf_finish(&out);
}
