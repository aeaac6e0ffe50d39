/* execute.c - one function per command of the core: starts the effect, never steps the core */
#include "app/app_private.h"

#include "base/assert.h"

static void execute_signal(struct app *app, const struct core_command *command)
{
    struct mf_error error;
    if (app->runner != NULL && runner_send_signal(app->runner, command->stage, command->level, &error) != 0)
        app_note(app, "signal to `%s`: %s", app_node_path(app, command->node), error.text);
}

/* Without a runner nobody holds the lease: it counts as dropped. */
static void execute_drop(struct app *app, const struct core_command *command)
{
    struct mf_error error;
    if (app->runner == NULL || app->runner_dead || runner_send_drop(app->runner, command->lease, &error) != 0)
        app_push(app, &(struct core_input){.kind = CORE_INPUT_DROPPED, .lease = command->lease}, NULL);
}

static void execute_finish(struct app *app, const struct core_command *command)
{
    const struct graph_task *task = &graph_tasks(app->graph)[app_node_task(app, command->node)];
    bool failed = command->outcome != CORE_CLASS_NONE;
    bool retain = task->retain == GRAPH_RETAIN_ALWAYS || (task->retain == GRAPH_RETAIN_ON_FAILURE && failed);
    bool again = command->retried && task->continue_workspace;
    struct mf_error error;
    app_stage_remove(app, command->stage);
    if (app->runner == NULL || app->runner_dead)
        return;
    if (runner_send_finish(app->runner, mf_span(app_node_path(app, command->node)), command->attempt,
                           retain ? RUNNER_RETAIN_WORKSPACE : RUNNER_RETAIN_NEVER, again, &error) != 0)
        app_note(app, "workspace of `%s`: %s", app_node_path(app, command->node), error.text);
}

void app_execute(struct app *app, const struct core_command *command)
{
    switch (command->kind) {
    case CORE_COMMAND_EXPAND:
        app_expand(app, command);
        break;
    case CORE_COMMAND_CREATE:
    case CORE_COMMAND_FIND:
    case CORE_COMMAND_REVOKE:
    case CORE_COMMAND_DELETE:
    case CORE_COMMAND_CHECK:
        app_execute_account(app, command);
        break;
    case CORE_COMMAND_SIGNAL:
        execute_signal(app, command);
        break;
    case CORE_COMMAND_DROP:
        execute_drop(app, command);
        break;
    case CORE_COMMAND_FINISH:
        execute_finish(app, command);
        break;
    case CORE_COMMAND_RUNNER:
        app_start_runner(app);
        break;
    case CORE_COMMAND_PREPARE:
    case CORE_COMMAND_LEASE:
    case CORE_COMMAND_SPAWN:
    case CORE_COMMAND_COUNT:
        mf_unreachable(); /* the pump gives these to app_execute_stage */
    }
}
