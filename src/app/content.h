/*
 * app/content.h - what a task's success stands for: the key by which `resume RUN GRAPH` knows that nothing changed
 *
 * SHA-256 of: the task's definition in one canonical form, without what does not change the outcome; the parameters and defaults that
 * it uses; the content of the files that it names; the results of what it needs; the item and its number among equal items;
 * the recipes of its accounts. Never the place in the file or list, never a secret.
 *
 * The key is taken when an attempt begins and again when it has succeeded; only when both are the same is it written down with the
 * success. What cannot be known cheaply has no key and counts as changed: a git ref that is no commit, a workspace
 * whose path is a template, more than CONTENT_BYTES_MAX of files in the whole run.
 */
#ifndef MF_APP_CONTENT_H
#define MF_APP_CONTENT_H

#include "app/app.h"

/* Read on the loop's thread: 64 MiB of SHA-256 are about 40 ms with the CPU's instructions, once in a run. */
#define CONTENT_BYTES_MAX (64u << 20)
#define CONTENT_FILES_MAX 10000u

struct contents;

struct contents *contents_create(void); /* NULL: no memory */
void contents_destroy(struct contents *contents);

/* False: there is no key. */
bool app_content_key(struct app *app, uint32_t node, uint8_t out[32]);
/* An attempt of the node prepares its workspace, or spawns; the first of both that the task has is where its files are read. */
void app_content_begin(struct app *app, uint32_t node, bool prepares);
/* It succeeded: appends `"content":"HEX"` to the record's members, or nothing. */
void app_content_end(struct app *app, uint32_t node, struct mf_buf *extra);
/* The other way round: what a success of the journal says. */
void app_content_take(struct app *app, uint32_t node, struct mf_span extra);
/* Both graphs make the same list for the template, as far as their texts say. */
bool app_content_same_list(const struct graph *left, const struct graph *right, uint32_t task);

#endif
