/* events.c - mayfly events: the journal of a run, one line a record, also while it grows */
#include "cmd/commands.h"
#include "cmd/event.h"
#include "cmd/read.h"

#include <poll.h>
#include <stdio.h>

#define FOLLOW_POLL_MS 100 /* a commit is seen within this; a look costs some microseconds */
#define LINE_BYTES_MAX (1u << 17)

struct printing {
    bool json;
    struct mf_buf line;
};

static int print(void *context, const struct view *view, const struct core_record *record, struct mf_span extra,
                 struct mf_error *error)
{
    struct printing *printing = context;
    mf_buf_clear(&printing->line);
    if (printing->json)
        event_json(&printing->line, view, record, extra);
    else
        event_text(&printing->line, view, record, extra);
    if (printing->line.failed)
        return mf_fail(error, MF_MEMORY, "events: no memory");
    return puts(mf_buf_cstr(&printing->line)) >= 0 ? 0 : mf_fail(error, MF_OS, "standard output: cannot be written");
}

/* The lock is looked at before the last read: no record is missed. */
static int follow(struct reader *reader, struct printing *printing, struct mf_error *error)
{
    for (;;) {
        bool over = reader_over(reader);
        if (view_update(reader->view, reader->journal, print, printing, error) != 0)
            return -1;
        if (fflush(stdout) != 0)
            return mf_fail(error, MF_OS, "standard output: cannot be written");
        if (over || view_run(reader->view)->settled)
            return 0;
        poll(NULL, 0, FOLLOW_POLL_MS);
    }
}

int cmd_events(const struct options *options)
{
    struct mf_error error = {0};
    struct reader reader;
    struct printing printing = {.json = option_set(options, "json")};
    mf_buf_init(&printing.line, LINE_BYTES_MAX);
    int status =
        reader_open_journal(&reader, options, options->argument_count > 0 ? options->arguments[0] : "last", &error);
    if (status == 0)
        status = view_read(&reader.view, reader.journal, print, &printing, &error);
    if (status == 0 && option_set(options, "follow"))
        status = follow(&reader, &printing, &error);
    if (status == 0)
        reader_notice(&reader);
    reader_close(&reader);
    mf_buf_free(&printing.line);
    return status == 0 ? 0 : read_fail(&error);
}
