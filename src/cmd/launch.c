/* launch.c - runs an app with the observers that the terminal and the options ask for */
#include "cmd/launch.h"

#include "app/progress.h"
#include "base/buf.h"
#include "cmd/graphs.h"
#include "cmd/outlet.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TERMS_MAX 64u
/* One line of 200 bytes for each of 100,000 accounts that leaked. */
#define RECEIPT_BYTES_MAX (20u << 20)

static bool colour_on(const struct options *options, FILE *out)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return !option_set(options, "no-color") && (none == NULL || none[0] == '\0') && isatty(fileno(out)) != 0 &&
           terminal != NULL && strcmp(terminal, "dumb") != 0;
}

static bool wants_board(const struct options *options)
{
    const char *terminal = getenv("TERM");
    return !option_set(options, "json") && isatty(STDERR_FILENO) != 0 && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

/* Events on stdout, lines on stderr; through an outlet, so that no reader can keep the loop waiting. */
static struct progress *make_progress(const struct options *options, struct outlet *outlet)
{
    if (wants_board(options)) /* asks its terminal for its size */
        return progress_create(PROGRESS_BOARD, stderr, colour_on(options, stderr));
    if (option_set(options, "json"))
        return progress_create(PROGRESS_JSON, outlet != NULL ? outlet_stream(outlet) : stdout, false);
    return progress_create(PROGRESS_PLAIN, outlet != NULL ? outlet_stream(outlet) : stderr, colour_on(options, stderr));
}

struct ending {
    const struct options *options;
    struct mf_buf receipt; /* owned; empty: there was none */
};

static ssize_t keep(void *cookie, const char *data, size_t bytes)
{
    return mf_buf_append(cookie, data, bytes) == 0 ? (ssize_t)bytes : -1;
}

/* Kept until every line before it is out: the two go to different streams, which are often one terminal. */
static void keep_receipt(void *context, struct app *app, const struct app_receipt *receipt)
{
    struct ending *ending = context;
    if (option_set(ending->options, "json"))
        return;
    FILE *memory = fopencookie(&ending->receipt, "w", (cookie_io_functions_t){.write = keep});
    receipt_print(memory != NULL ? memory : stdout, app, receipt, colour_on(ending->options, stdout));
    if (memory != NULL)
        fclose(memory);
}

static void print_receipt(struct ending *ending)
{
    if (ending->receipt.length > 0)
        fwrite(ending->receipt.data, 1, ending->receipt.length, stdout);
    fflush(stdout);
    mf_buf_free(&ending->receipt);
}

int launch(struct app_options *app_options, const struct options *options)
{
    const char *terms[TERMS_MAX];
    uint32_t terms_count = 0;
    struct mf_error error = {0};
    struct app *app = NULL;
    while (terms_count < TERMS_MAX && (terms[terms_count] = option_nth(options, "accept-terms", terms_count)) != NULL)
        terms_count++;
    app_options->accept_terms = terms;
    app_options->accept_terms_count = terms_count;
    app_options->state_path = option_value(options, "state");
    app_options->program = "/proc/self/exe";
    app_options->allow_base_url = option_set(options, "allow-base-url");
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL); /* a reader that went away ends no run */
    int out_fd = option_set(options, "json") ? STDOUT_FILENO : STDERR_FILENO;
    struct outlet *outlet = wants_board(options) ? NULL : outlet_create(out_fd);
    struct progress *progress = make_progress(options, outlet);
    if (progress == NULL) {
        outlet_destroy(outlet);
        return 7;
    }
    app_options->observers[app_options->observer_count++] = progress_observer(progress);
    struct ending ending = {.options = options};
    mf_buf_init(&ending.receipt, RECEIPT_BYTES_MAX);
    app_options->observers[app_options->observer_count++] =
        (struct app_observer){.closed = keep_receipt, .context = &ending};
    app_options->refresh_ms = isatty(STDERR_FILENO) != 0 && !option_set(options, "json") ? 200 : 0;
    int code = app_create(&app, app_options, &error) == 0 ? app_run(app) : complain(&error);
    if (app == NULL && app_options->mode == APP_TEARDOWN && error.code == MF_PROVIDER)
        code = 4; /* nothing was sent, and something may still exist */
    app_destroy(app);
    progress_destroy(progress);
    outlet_destroy(outlet);
    print_receipt(&ending);
    return code;
}
