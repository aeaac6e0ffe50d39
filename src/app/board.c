/*
 * board.c - the live board: what ended scrolls by, what runs stands below with its stage and age, totals in the last line
 *
 * Drawn on stderr when it is a terminal, at most ten times a second and only as many lines as fit. Escape codes used: clear to
 * the end of line, cursor up, colours. Everything that comes from outside is escaped before.
 */
#include "app/progress_private.h"

#include "net/loop.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_EVERY_MS 100

static void erase(struct progress *progress)
{
    if (progress->lines_drawn == 0)
        return;
    fprintf(progress->out, "\r\033[%uA\033[J", progress->lines_drawn);
    progress->lines_drawn = 0;
}

static void size_of(const struct progress *progress, uint32_t *rows, uint32_t *columns)
{
    struct winsize size;
    *rows = 24;
    *columns = 80;
    if (ioctl(fileno(progress->out), TIOCGWINSZ, &size) == 0 && size.ws_row > 4 && size.ws_col > 20) {
        *rows = size.ws_row;
        *columns = size.ws_col;
    }
}

static void row(struct progress *progress, uint32_t columns, const char *text)
{
    fprintf(progress->out, "%.*s\033[K\n", (int)columns - 1, text);
    progress->lines_drawn++;
}

static bool live(enum core_task_state state)
{
    return state >= CORE_TASK_STATE_PREPARING && state <= CORE_TASK_STATE_STOPPING;
}

static void draw_live(struct progress *progress, struct app *app, uint32_t rows, uint32_t columns)
{
    uint32_t shown = 0, hidden = 0;
    char line[256], age[24];
    struct core_totals totals;
    core_totals(app_core(app), &totals);
    for (uint32_t node = 0; node < core_node_count(app_core(app)) && shown + hidden < totals.live; node++) {
        struct core_node_view view;
        if (!core_node(app_core(app), node, &view) || !live(view.state))
            continue;
        if (shown >= rows) {
            hidden++;
            continue;
        }
        shown++;
        mf_format_duration(app_now(app) - view.since_ms, age);
        snprintf(line, sizeof line, "%7s  %-24s %s%s", age, app_node_path(app, node), core_task_state_name(view.state),
                 view.attempt > 1 ? " again" : "");
        row(progress, columns, line);
    }
    if (hidden > 0) {
        snprintf(line, sizeof line, "         ... and %u more", hidden);
        row(progress, columns, line);
    }
}

/* Remaining time from the rate so far: only once a few have ended, else it jumps about. */
static void eta_text(int64_t elapsed_ms, uint32_t done, uint32_t total, char out[40])
{
    char text[24];
    out[0] = '\0';
    if (done >= 3 && done < total)
        snprintf(out, 40, "  eta %s", mf_format_duration(elapsed_ms * (int64_t)(total - done) / done, text));
}

static uint32_t count_final(const struct core_totals *totals, uint32_t *all)
{
    uint32_t done = 0;
    *all = 0;
    for (int state = 0; state < CORE_TASK_STATE_COUNT; state++) {
        *all += totals->nodes[state];
        done += core_task_final((enum core_task_state)state) ? totals->nodes[state] : 0;
    }
    return done;
}

/* What agents did wrong, and what they have spent. */
static void draw_watched(struct app *app, struct mf_buf *line)
{
    uint64_t requests, tokens;
    int64_t micro_usd;
    if (app_violations(app) > 0)
        mf_buf_printf(line, ", %u violations", app_violations(app));
    app_spent(app, CORE_NONE, 0, &requests, &tokens, &micro_usd);
    if (requests > 0)
        mf_buf_printf(line, ", %llu tokens $%lld.%02lld", (unsigned long long)tokens, (long long)(micro_usd / 1000000),
                      (long long)(micro_usd / 10000 % 100));
}

/* What matters most stands first: a narrow terminal cuts the end. Failures and leaks only when there are some. */
static void draw_totals(struct progress *progress, struct app *app, uint32_t columns)
{
    struct core_totals totals;
    struct mf_buf line;
    uint32_t all, open = 0;
    char text[40];
    int64_t elapsed_ms = app_now(app) - progress->opened_ms;
    core_totals(app_core(app), &totals);
    uint32_t done = count_final(&totals, &all);
    uint32_t failed = totals.nodes[CORE_TASK_STATE_FAILED] + totals.nodes[CORE_TASK_STATE_TIMED_OUT];
    uint32_t gone = totals.accounts[CORE_ACCOUNT_STATE_GONE], leaked = totals.accounts[CORE_ACCOUNT_STATE_LEAKED];
    for (int state = CORE_ACCOUNT_STATE_CREATING; state <= CORE_ACCOUNT_STATE_DELETING; state++)
        open += totals.accounts[state];
    mf_buf_init(&line, 512);
    mf_buf_printf(&line, "%7s  %u of %u done, %u running", mf_format_duration(elapsed_ms, text), done, all,
                  totals.live);
    draw_watched(app, &line);
    if (failed > 0)
        mf_buf_printf(&line, ", %u failed", failed);
    if (leaked > 0)
        mf_buf_printf(&line, "  %u LEAKED", leaked);
    if (open + gone > 0)
        mf_buf_printf(&line, "  accounts: %u open, %u gone", open, gone);
    eta_text(elapsed_ms, done, all, text);
    mf_buf_printf(&line, "  %.1f/s%s", elapsed_ms > 0 ? (double)done * 1000.0 / (double)elapsed_ms : 0.0, text);
    row(progress, columns, mf_buf_cstr(&line));
    mf_buf_free(&line);
}

static void draw(struct progress *progress, struct app *app)
{
    uint32_t rows, columns;
    erase(progress);
    size_of(progress, &rows, &columns);
    draw_live(progress, app, rows - 4, columns);
    draw_totals(progress, app, columns);
    fflush(progress->out);
    progress->drawn_ms = net_now_ms();
}

static void board_opened(void *context, struct app *app)
{
    struct progress *progress = context;
    progress->opened_ms = app_now(app);
    fprintf(progress->out, "run %s  %s\n", app_run_id(app), app_run_name(app));
}

static void board_record(void *context, struct app *app, const struct core_record *record, struct mf_span extra)
{
    struct progress *progress = context;
    struct mf_buf text;
    if (record->kind == CORE_TASK_STARTED) /* the board shows what runs */
        return;
    mf_buf_init(&text, 2048);
    bool worth = progress_describe(progress, app, record, &text);
    mf_buf_free(&text);
    if (!worth)
        return;
    erase(progress);
    progress_line(progress, app, record, extra);
}

static void board_note(void *context, struct app *app, const char *text)
{
    struct progress *progress = context;
    erase(progress);
    progress_note_line(progress, app, text);
}

static void board_turn(void *context, struct app *app)
{
    struct progress *progress = context;
    if (progress->opened_ms != 0 && net_now_ms() - progress->drawn_ms >= DRAW_EVERY_MS)
        draw(progress, app);
}

static void board_closed(void *context, struct app *app, const struct app_receipt *receipt)
{
    struct progress *progress = context;
    (void)app;
    (void)receipt;
    erase(progress);
    fflush(progress->out);
}

struct app_observer board_observer(struct progress *progress)
{
    return (struct app_observer){.opened = board_opened,
                                 .record = board_record,
                                 .note = board_note,
                                 .turn = board_turn,
                                 .closed = board_closed,
                                 .context = progress};
}
