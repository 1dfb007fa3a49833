/* stop: SIGTERM and SIGINT ask the program to finish. SIGPIPE is ignored. */
#pragma once

#include <stdbool.h>

void stop_init(void);      /* installs the handlers; call before the first thread starts */
bool stop_requested(void); /* any thread */
int stop_fd(void);         /* becomes readable when stop is requested (eventfd); for poll */
void stop_request(void);   /* as if SIGTERM had come; any thread */
