/* cmd/event.h - one record of the journal as a line: for people, or the JSON that `mayfly run --json` prints too */
#ifndef MF_CMD_EVENT_H
#define MF_CMD_EVENT_H

#include "store/view.h"

/* {"type":"task.failed","at_ms":...,"seq":...,"task":"deploy/web",...} without line end. */
void event_json(struct mf_buf *out, const struct view *view, const struct core_record *record, struct mf_span extra);
/* "14:32:05.123  task.failed  deploy/web  attempt 2, class agent, reason ..." without line end, safe for a terminal. */
void event_text(struct mf_buf *out, const struct view *view, const struct core_record *record, struct mf_span extra);

#endif
