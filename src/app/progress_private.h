/* app/progress_private.h - what plain lines and the board share */
#ifndef MF_APP_PROGRESS_PRIVATE_H
#define MF_APP_PROGRESS_PRIVATE_H

#include "app/progress.h"

struct progress {
    enum progress_kind kind;
    FILE *out; /* not owned */
    bool colour;
    int64_t opened_ms;
    int64_t drawn_ms;      /* board: boot time of the last drawing */
    uint32_t lines_drawn;  /* board: lines that stand on the terminal now */
    struct core_node_view view;
    struct progress_exit {
        bool known;
        int32_t code, signal_number;
    } *exits; /* by node; owned */
    size_t exit_capacity;
};

struct progress_exit *progress_exit_of(struct progress *progress, uint32_t node); /* NULL without memory */
/* Appends what a record means to a person; false when it is not worth a line. */
bool progress_describe(struct progress *progress, struct app *app, const struct core_record *record, struct mf_buf *out);
/* The plain line of a record, without flushing. */
void progress_line(struct progress *progress, struct app *app, const struct core_record *record, struct mf_span extra);
/* A note as a line, escaped, without flushing. */
void progress_note_line(struct progress *progress, struct app *app, const char *text);
struct app_observer board_observer(struct progress *progress);

#endif
