/* users/row: the numbers that stand in the tables for enums. Never reused and independent of the order of the symbols
 * in the schemas. */
#pragma once

enum { ROW_TERM_USERNAME = 1, ROW_TERM_FIRST_LAST = 2, ROW_TERM_LAST_FIRST = 3 };
enum { ROW_NAME_USERNAME = 1, ROW_NAME_EMAIL = 2 };
enum { ROW_END_LOGOUT = 1, ROW_END_REVOKED = 2, ROW_END_REPLAYED = 3 };
