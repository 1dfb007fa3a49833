/* Short constants for the tables of rules of accounts and sessions. People are single bytes. */
#pragma once

#include "consumers/users/decide.h"
#include "tests/suite.h"

/* clang-format off */
#define ID(byte) { { (byte) } }
/* Hashes of 32 bytes, told apart by their letter: HASH(A). */
#define HASH(letter) { letter letter letter letter letter letter letter letter, 32 }
#define SHORT { "aaa", 3 }
/* clang-format on */
#define A   "aaaa"
#define B   "bbbb"
#define C   "cccc"
#define ANN ID(0xA1)
#define BOB ID(0xB0)

#define GIVEN 6 /* facts of a row */
