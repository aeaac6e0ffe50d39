/* cmd/table.h - aligned columns for people: colour only on a terminal, texts escaped */
#ifndef MF_CMD_TABLE_H
#define MF_CMD_TABLE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12

struct table;

/* Titles separated by single spaces, in capitals. A title that ends with '>' is a column of numbers, aligned right. */
int table_create(struct table **out, const char *titles, struct mf_error *error);
void table_destroy(struct table *table); /* NULL is fine */
/* Adds to the current row; the row is complete when it has all columns. Missing memory is told by table_print. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A word that has a colour of its own: states of tasks, accounts and runs. */
void table_state(struct table *table, const char *state);
size_t table_rows(const struct table *table);
int table_print(const struct table *table, FILE *out, struct mf_error *error);

/* True on a terminal unless NO_COLOR is set or TERM is dumb. */
bool table_colour(FILE *out);
/* The escape sequence for a state's word; "" for one without colour. */
const char *table_colour_of(const char *state);

#endif
