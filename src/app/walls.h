/* app/walls.h - the walls around one stage, as the runner's message wants them */
#ifndef MF_APP_WALLS_H
#define MF_APP_WALLS_H

#include "app/app.h"
#include "app/strings.h"
#include "runner/peer.h"

struct walls_texts { /* what a struct runner_walls points at */
    struct strings read, egress, reach;
};

void walls_texts_init(struct walls_texts *texts);
void walls_texts_free(struct walls_texts *texts);
/* Views into `texts` and the graph. `has_accounts`: what the node's accounts deploy may be reached. */
int walls_make(struct app *app, uint32_t node, bool has_accounts, struct walls_texts *texts, struct runner_walls *out,
               struct mf_error *error);

#endif
