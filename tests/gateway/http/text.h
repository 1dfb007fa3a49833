/* text: a C string in an array, longer by what is printed; cut where the array ends. */
#pragma once

#include <stdio.h>
#include <string.h>

#define text_add(array, ...) ((void)snprintf((array) + strlen(array), sizeof(array) - strlen(array), __VA_ARGS__))
