/* trace.c - what happened, one line each: the language of the stories */
#include "world.h"

#include "base/assert.h"

static void line(struct sim_world *world)
{
    mf_buf_printf(world->trace, "[%7lld] ", (long long)world->now_ms);
}

static void subject(struct sim_world *world, const struct core_record *record)
{
    switch (core_record_subject(record->kind)) {
    case CORE_SUBJECT_RUN:
        mf_buf_text(world->trace, "run");
        break;
    case CORE_SUBJECT_TASK:
        mf_buf_printf(world->trace, "t%u", record->node);
        break;
    case CORE_SUBJECT_ACCOUNT:
        mf_buf_printf(world->trace, "a%u", record->account);
        break;
    }
}

/* Process ids and births are noise; whether an end is set is not. */
static void fact(struct sim_world *world, enum core_fact kind, int64_t value)
{
    switch ((int)kind) {
    case CORE_FACT_NONE:
    case CORE_FACT_PID:
    case CORE_FACT_BIRTH:
        break;
    case CORE_FACT_CLASS:
        mf_buf_printf(world->trace, " %s", core_class_name((enum core_class)value));
        break;
    case CORE_FACT_STAGE:
        mf_buf_printf(world->trace, " %s", core_stage_name((enum core_stage)value));
        break;
    case CORE_FACT_STOP:
        mf_buf_printf(world->trace, " %s", core_stop_name((enum core_stop)value));
        break;
    case CORE_FACT_DRAIN:
        mf_buf_printf(world->trace, " %s", core_drain_name((enum core_drain)value));
        break;
    case CORE_FACT_TASK:
        mf_buf_printf(world->trace, " t%lld", (long long)value);
        break;
    case CORE_FACT_LEASE:
        mf_buf_printf(world->trace, " lease %lld", (long long)value);
        break;
    default:
        mf_buf_printf(world->trace, " %s=%lld", core_fact_name(kind), (long long)value);
        break;
    }
}

void sim_trace_record(struct sim_world *world, const struct core_record *record)
{
    if (world->trace == NULL)
        return;
    line(world);
    subject(world, record);
    mf_buf_printf(world->trace, " %s", core_record_name(record->kind));
    for (uint32_t place = 0; place < 4; place++)
        fact(world, core_record_fact(record->kind, place), record->facts[place]);
    if (record->kind == CORE_LEASE_GRANT)
        mf_buf_printf(world->trace, " lease %llu", (unsigned long long)record->seq);
    mf_buf_char(world->trace, '\n');
}

void sim_trace_command(struct sim_world *world, const struct core_command *command)
{
    if (world->trace == NULL)
        return;
    line(world);
    mf_buf_printf(world->trace, "    -> %s", core_command_name(command->kind));
    if (command->node != CORE_NONE && command->account == CORE_NONE)
        mf_buf_printf(world->trace, " t%u", command->node);
    if (command->account != CORE_NONE)
        mf_buf_printf(world->trace, " a%u", command->account);
    if (command->lease != 0)
        mf_buf_printf(world->trace, " lease %llu", (unsigned long long)command->lease);
    if (command->kind == CORE_COMMAND_SIGNAL)
        mf_buf_printf(world->trace, " level %u", command->level);
    if (command->kind == CORE_COMMAND_SPAWN)
        mf_buf_printf(world->trace, " %s", core_stage_name(command->stage_kind));
    if (command->kind == CORE_COMMAND_FINISH)
        mf_buf_printf(world->trace, " %s%s", core_class_name(command->outcome), command->retried ? " retried" : "");
    mf_buf_char(world->trace, '\n');
}

void sim_trace_note(struct sim_world *world, const char *text)
{
    if (world->trace == NULL)
        return;
    line(world);
    mf_buf_printf(world->trace, "*** %s\n", text);
}
