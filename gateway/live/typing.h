/* typing: who said lately where that they are writing. Any thread. */
#pragma once

struct typing_memory;

struct typing_memory *typing_memory_create(void);
void typing_memory_destroy(struct typing_memory *m); /* NULL is fine */
