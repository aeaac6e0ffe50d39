/* store/schema.h - the tables of a run's database and the views for people */
#ifndef MF_STORE_SCHEMA_H
#define MF_STORE_SCHEMA_H

#include "store/database.h"

#define SCHEMA_APPLICATION_ID 0x6d666c79 /* "mfly" */
#define SCHEMA_VERSION 1

/* Inside the caller's transaction. */
int schema_create(struct database *database, struct mf_error *error);
/* -1 with MF_STATE unless it is a run's database of a version that we know. */
int schema_check(struct database *database, struct mf_error *error);

#endif
