/*
 * doctor.c - mayfly doctor: looks at the machine, the state directory and what runs have left, and says what to run
 *
 * Three grades: ok, note (works, but know it), problem (something is to be done). It only reads and sends nothing.
 */
#include "cmd/commands.h"
#include "cmd/machine.h"
#include "cmd/memory.h"
#include "cmd/read.h"
#include "cmd/strays.h"
#include "cmd/table.h"
#include "json/write.h"
#include "sandbox/sandbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define EXIT_MAY_EXIST 4
#define EXIT_STATE 5
#define EXIT_NO_SANDBOX 6
#define FREE_BYTES_LOW (1ull << 30)

struct doctor {
    struct table *table;
    struct mf_buf json;
    struct json_writer writer;
    struct state_dir *state;
    uint32_t runs;
    int code;
};

/* --- findings --- */

static void find(struct doctor *doctor, const char *grade, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void find(struct doctor *doctor, const char *grade, const char *what, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    table_state(doctor->table, grade);
    table_cell(doctor->table, "%s", what);
    table_cell(doctor->table, "%s", text);
    json_open_object(&doctor->writer);
    json_member_string(&doctor->writer, "grade", grade);
    json_member_string(&doctor->writer, "what", what);
    json_member_string(&doctor->writer, "text", text);
    json_close_object(&doctor->writer);
}

/* 4 wins over 5, 5 over 6: something that may exist costs money or is dangerous. */
static void problem(struct doctor *doctor, int code)
{
    if (doctor->code == 0 || code < doctor->code)
        doctor->code = code;
}

/* --- the machine --- */

static void check_kernel(struct doctor *doctor, const struct machine *machine)
{
    if (machine->pidfd && machine->openat2 && machine->close_range) {
        find(doctor, "ok", "kernel", "%s: pidfd, openat2, close_range", machine->kernel);
    } else {
        find(doctor, "problem", "kernel", "%s: lacks%s%s%s: mayfly needs Linux 5.11 or newer", machine->kernel,
             machine->pidfd ? "" : " pidfd", machine->openat2 ? "" : " openat2",
             machine->close_range ? "" : " close_range");
        problem(doctor, EXIT_STATE);
    }
}

static void check_cgroup(struct doctor *doctor, const struct machine *machine)
{
    if (machine->cgroup == MACHINE_CGROUP_V2 && machine->cgroup_kill)
        find(doctor, "ok", "cgroup", "version 2 with cgroup.kill");
    else if (machine->cgroup == MACHINE_CGROUP_NONE)
        find(doctor, "note", "cgroup", "none: left-over processes are found by the environment of their ancestors");
    else
        find(doctor, "note", "cgroup", "%s: agents' trees are ended process by process",
             machine->cgroup == MACHINE_CGROUP_V1 ? "version 1" : "version 2 without cgroup.kill here");
}

/* A whole sandbox around /bin/true: what it cannot do, no agent gets. */
static void check_sandbox(struct doctor *doctor, const struct machine *machine)
{
    struct sandbox_options options = {.agent_uid = -1};
    struct sandbox_report report;
    struct mf_error error = {0};
    if (sandbox_check(&options, &report, &error) != 0) {
        find(doctor, "problem", "sandbox", "%s", error.text);
        problem(doctor, EXIT_NO_SANDBOX);
    } else if (!report.available) {
        find(doctor, "problem", "sandbox", "%s", report.reason);
        problem(doctor, EXIT_NO_SANDBOX);
    } else {
        find(doctor, "ok", "sandbox", "bubblewrap %s, agents are uid %u", report.version, report.uid);
        find(doctor, report.memory && report.cpu ? "ok" : "note", "limits", "of agents: pids%s%s%s (cgroup %s)%s",
             report.memory ? ", memory" : "", report.cpu ? ", cpus" : "", report.disk ? ", disk" : "", report.cgroup,
             report.memory && report.cpu ? ""
                                         : ": for the others start mayfly with systemd-run --user --scope -p Delegate=yes");
    }
    find(doctor, machine->git ? "ok" : "note", "git", "%s",
         machine->git ? "found" : "not found: tasks with a git workspace need it: run apt-get install git");
}

static void check_capacity(struct doctor *doctor, const struct machine *machine)
{
    const char *bound = machine->agents_max == machine->agents_by_descriptors ? "descriptors"
                        : machine->agents_max == machine->agents_by_processes ? "processes"
                                                                              : "memory";
    find(doctor, machine->agents_max >= 4u * machine->cores ? "ok" : "note", "capacity",
         "%llu agents at the same time, bound by %s (descriptors %llu, processes %llu, memory %llu at 64 MiB each); %u "
         "cores",
         (unsigned long long)machine->agents_max, bound, (unsigned long long)machine->agents_by_descriptors,
         (unsigned long long)machine->agents_by_processes, (unsigned long long)machine->agents_by_memory,
         machine->cores);
    if (machine->swap_bytes > 0)
        find(doctor, "note", "swap",
             "%llu MiB: memory with credentials may reach the disk: encrypt it or run swapoff -a",
             (unsigned long long)(machine->swap_bytes >> 20));
    else
        find(doctor, "ok", "swap", "none: credentials in memory stay there");
    if (!memory_is_wiped())
        find(doctor, "note", "freed memory",
             "OpenSSL or SQLite was in use before we were: what they free is not wiped: use the distribution's own libraries");
}

/* --- the state directory --- */

static void check_space(struct doctor *doctor)
{
    struct statvfs status;
    if (statvfs(state_path(doctor->state), &status) != 0)
        return;
    unsigned long long free_bytes = (unsigned long long)status.f_bavail * status.f_frsize;
    find(doctor, free_bytes >= FREE_BYTES_LOW ? "ok" : "note", "disk", "%llu MiB free for %s%s", free_bytes >> 20,
         state_path(doctor->state), free_bytes >= FREE_BYTES_LOW ? "" : ": run mayfly rm on old runs");
}

static int check_state(struct doctor *doctor, const struct options *options)
{
    struct mf_error error = {0};
    if (state_open(&doctor->state, option_value(options, "state"), false, &error) == 0) {
        find(doctor, "ok", "state directory", "%s: ours alone, on a local disk", state_path(doctor->state));
        check_space(doctor);
        return 0;
    }
    if (error.code == MF_NOT_FOUND) {
        find(doctor, "ok", "state directory", "%s", error.text);
        return -1;
    }
    find(doctor, "problem", "state directory", "%s", error.text);
    problem(doctor, EXIT_STATE);
    return -1;
}

/* --- runs --- */

static void check_accounts(struct doctor *doctor, const struct reader *reader)
{
    uint32_t left = 0, kept = 0, expiring = 0, secrets = 0;
    int64_t now_ms = read_now_ms();
    for (uint32_t number = 1; number <= view_account_count(reader->view); number++) {
        const struct view_account *account = view_account(reader->view, number);
        if (!view_account_may_exist(account, now_ms))
            continue;
        kept += account->state == CORE_ACCOUNT_STATE_CLAIMABLE;
        expiring += account->state == CORE_ACCOUNT_STATE_EXPIRING;
        left += account->state != CORE_ACCOUNT_STATE_CLAIMABLE && account->state != CORE_ACCOUNT_STATE_EXPIRING;
    }
    if (left > 0 && !reader->locked) {
        find(doctor, "problem", reader->id, "%u accounts may still exist: run mayfly teardown %s", left, reader->id);
        problem(doctor, EXIT_MAY_EXIST);
    }
    if (kept > 0)
        find(doctor, "note", reader->id, "%u accounts are kept to be claimed: run mayfly claim %s", kept, reader->id);
    if (expiring > 0)
        find(doctor, "note", reader->id, "%u accounts are still alive without a credential: see mayfly accounts %s",
             expiring, reader->id);
    if (left + kept == 0 && !reader->locked && journal_secret_count(reader->journal, &secrets, NULL) == 0 &&
        secrets > 0)
        find(doctor, "note", reader->id, "%u sealed credentials of accounts that are gone: run mayfly teardown %s",
             secrets, reader->id);
}

static void check_reader(struct doctor *doctor, const struct reader *reader)
{
    struct mf_error error = {0};
    if (journal_check(reader->journal, false, &error) != 0) {
        find(doctor, "problem", reader->id, "%s", error.text);
        problem(doctor, EXIT_STATE);
        return;
    }
    if (reader->locked)
        find(doctor, "ok", reader->id, "is going on");
    else if (!view_run(reader->view)->settled) {
        find(doctor, "problem", reader->id,
             "did not finish: run mayfly resume %s to go on, or mayfly teardown %s to clean", reader->id, reader->id);
        problem(doctor, EXIT_STATE);
    }
    check_accounts(doctor, reader);
}

static int check_run(void *context, const char *id)
{
    struct doctor *doctor = context;
    struct mf_error error = {0};
    struct reader reader;
    doctor->runs++;
    if (reader_open_id(&reader, doctor->state, id, &error) == 0) {
        check_reader(doctor, &reader);
    } else if (error.code == MF_NOT_FOUND) {
        find(doctor, "note", id, "has no database, nothing was started: run mayfly rm %s", id);
    } else {
        find(doctor, "problem", id, "%s", error.text);
        problem(doctor, EXIT_STATE);
    }
    reader_close(&reader);
    return 0;
}

static void check_runs(struct doctor *doctor)
{
    struct mf_error error = {0};
    if (state_runs(doctor->state, check_run, doctor, &error) != 0) {
        find(doctor, "problem", "runs", "%s", error.text);
        problem(doctor, EXIT_STATE);
    } else {
        find(doctor, "ok", "runs", "%u looked at", doctor->runs);
    }
}

/* Agents die with their orchestrator; what is left in spite of that is found by its marks. Without the run's directory nobody can
 * clean it by its name. */
static void check_strays(struct doctor *doctor)
{
    struct strays strays;
    uint32_t found = 0;
    strays_look(&strays);
    for (size_t i = 0; i < strays.count; i++) {
        const struct stray *stray = &strays.items[i];
        char id[STATE_RUN_ID_BYTES];
        bool known = doctor->state != NULL && state_run_find(doctor->state, stray->run, id, NULL) == 0;
        if (known && state_run_locked(doctor->state, stray->run))
            continue;
        found++;
        if (known) {
            find(doctor, "problem", stray->run, "%u processes and %u cgroups are left: run mayfly teardown %s",
                 stray->processes, stray->cgroups, stray->run);
            problem(doctor, EXIT_MAY_EXIST);
        } else if (stray->processes > 0) {
            find(doctor, "note", stray->run,
                 "%u processes of a run that this state directory does not know (one is %d)", stray->processes,
                 (int)stray->pid);
        } else {
            find(doctor, "note", stray->run, "%u cgroups of a run that this state directory does not know",
                 stray->cgroups);
        }
    }
    if (found == 0)
        find(doctor, "ok", "processes", "none that a run has left");
    strays_free(&strays);
}

static int print(struct doctor *doctor, bool json, struct mf_error *error)
{
    if (!json)
        return table_print(doctor->table, stdout, error);
    json_close_array(&doctor->writer);
    json_member_i64(&doctor->writer, "exit", doctor->code);
    json_close_object(&doctor->writer);
    if (doctor->json.failed)
        return mf_fail(error, MF_MEMORY, "doctor: no memory");
    puts(mf_buf_cstr(&doctor->json));
    return 0;
}

static void begin_json(struct doctor *doctor)
{
    mf_buf_init(&doctor->json, 64u << 20);
    json_begin(&doctor->writer, &doctor->json);
    json_open_object(&doctor->writer);
    json_member_i64(&doctor->writer, "mayfly", 1);
    json_member_string(&doctor->writer, "version", MAYFLY_VERSION);
    json_key(&doctor->writer, "findings");
    json_open_array(&doctor->writer);
}

int cmd_doctor(const struct options *options)
{
    struct mf_error error = {0};
    struct doctor doctor = {0};
    struct machine machine;
    begin_json(&doctor);
    int status = table_create(&doctor.table, "GRADE WHAT FINDING", &error);
    if (status == 0) {
        machine_look(&machine);
        check_kernel(&doctor, &machine);
        check_cgroup(&doctor, &machine);
        check_sandbox(&doctor, &machine);
        check_capacity(&doctor, &machine);
        if (check_state(&doctor, options) == 0)
            check_runs(&doctor);
        check_strays(&doctor);
        status = print(&doctor, option_set(options, "json"), &error);
    }
    table_destroy(doctor.table);
    mf_buf_free(&doctor.json);
    state_close(doctor.state);
    return status == 0 ? doctor.code : read_fail(&error);
}
