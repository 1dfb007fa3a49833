#include "tests/consumers/chance.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t chance;

void chance_begin(void)
{
    const char *seed = getenv("AETHER_TEST_SEED");
    chance = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) | 1;
    printf("AETHER_TEST_SEED=%llu\n", (unsigned long long)chance);
    fflush(stdout); /* before Check forks */
}

uint32_t any(uint32_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (uint32_t)((chance >> 11) % below);
}
