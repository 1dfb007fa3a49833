/* password_rules: which passwords are not taken, whatever their length: the person's own names, and the 10,000
 * commonest (common_passwords.txt; NIST SP 800-63B, section 5.1.1.2). Any thread; keeps no copy of the password. */
#pragma once

#include "ops/runtime/mem.h"

/* NULL: it is good. Else a sentence that says what is wrong. Upper and lower case count as the same. The names may be
 * empty. */
const char *password_fault(struct str clear, struct str username, struct str email);

/* Generated from common_passwords.txt: NUL-terminated words in the order of their bytes, and where each begins. */
extern const char common_passwords[];
extern const uint32_t common_password_offsets[];
extern const size_t common_passwords_count;
