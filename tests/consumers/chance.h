/* Random numbers that can be drawn again: AETHER_TEST_SEED, or the clock; the seed is printed. */
#pragma once

#include <stdint.h>

void chance_begin(void);
uint32_t any(uint32_t below);
