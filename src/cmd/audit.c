/*
 * audit.c - mayfly audit: what agents were granted, what they did, what they were refused; and the proof that the record is whole
 *
 * Reads only, works while the run goes on, sends nothing. A record that was changed, cut off or is missing is said first and is
 * exit 5, whatever else is asked for.
 */
#include "base/alloc.h"
#include "cmd/audit_private.h"
#include "cmd/commands.h"
#include "cmd/read.h"
#include "json/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT_BYTES_MAX (2u << 30)
#define EXIT_RECORD 5

struct job {
    const struct options *options;
    struct reader reader;
    struct audit_sources sources;
    struct evidence *evidence; /* owned */
    struct least *least;       /* owned */
    struct mf_buf out;
    const char *state;
};

static int flush_out(struct job *job, struct mf_error *error)
{
    if (job->out.failed)
        return mf_fail(error, MF_MEMORY, "audit: no memory");
    if (fwrite(mf_buf_cstr(&job->out), 1, job->out.length, stdout) != job->out.length)
        return mf_fail_os(error, errno, "audit: cannot write");
    mf_buf_clear(&job->out);
    return 0;
}

/* --- certificates --- */

/* A number or a whole tag. */
static int find_account(const struct job *job, const char *name, uint32_t *out, struct mf_error *error)
{
    const struct view *view = evidence_view(job->evidence);
    uint64_t number;
    char tag[96];
    if (mf_parse_u64(mf_span(name), &number) == 0 && number >= 1 && number <= view_account_count(view)) {
        *out = (uint32_t)number;
        return 0;
    }
    for (uint32_t i = 1; i <= view_account_count(view); i++) {
        view_tag(view, i, tag, sizeof tag);
        if (strcmp(tag, name) == 0) {
            *out = i;
            return 0;
        }
    }
    return mf_fail(error, MF_NOT_FOUND, "run %s has no account %.60s: mayfly accounts %s lists them", job->reader.id,
                   name, job->reader.id);
}

static int certify(struct job *job, const struct certificates *certificates, uint32_t first, uint32_t last,
                   struct mf_error *error)
{
    bool json = option_set(job->options, "json");
    struct json_writer writer;
    int status = 0;
    json_begin(&writer, &job->out);
    if (json) {
        json_open_object(&writer);
        json_member_i64(&writer, "mayfly", 1);
        json_key(&writer, "certificates");
        json_open_array(&writer);
    }
    for (uint32_t number = first; number <= last && status == 0; number++) {
        if (view_account(evidence_view(job->evidence), number)->state == CORE_ACCOUNT_STATE_NEW)
            continue;
        if (json)
            status = certificate_json(certificates, number, job->state, &writer, error);
        else
            status = certificate_text(certificates, number, job->state, &job->out, error);
        if (!json && number < last)
            mf_buf_char(&job->out, '\n');
    }
    if (json) {
        json_close_array(&writer);
        json_close_object(&writer);
        mf_buf_char(&job->out, '\n');
    }
    return status == 0 ? flush_out(job, error) : -1;
}

static int print_certificates(struct job *job, struct mf_error *error)
{
    struct certificates *certificates = NULL;
    uint32_t first = 1;
    uint32_t last = view_account_count(evidence_view(job->evidence));
    if (job->options->argument_count > 1) {
        if (find_account(job, job->options->arguments[1], &first, error) != 0)
            return -1;
        last = first;
    }
    int status = certificates_create(&certificates, job->evidence, job->reader.journal, error);
    if (status == 0)
        status = certify(job, certificates, first, last, error);
    certificates_destroy(certificates);
    return status;
}

/* --- the patch --- */

/* What was changed since the run makes the diff fail, or worse, fit by accident: it is said. */
static void compare_file(const char *path, struct mf_span journaled)
{
    struct mf_buf text;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return;
    mf_buf_init(&text, journaled.length + 2);
    ssize_t got = 1;
    while (got > 0 && text.length <= journaled.length &&
           mf_buf_reserve(&text, journaled.length + 1 - text.length) == 0) {
        got = read(fd, text.data + text.length, journaled.length + 1 - text.length);
        text.length += got > 0 ? (size_t)got : 0;
    }
    if (!mf_span_equal(mf_buf_view(&text), journaled))
        fprintf(stderr, "mayfly: the graph file was changed since the run: the patch is for what it was then\n");
    mf_buf_free(&text);
    close(fd);
}

static int print_patch(struct job *job, struct mf_error *error)
{
    struct mf_buf path;
    mf_buf_init(&path, 8192);
    mf_buf_span(&path, view_run(evidence_view(job->evidence))->graph_path);
    const char *whole = mf_buf_cstr(&path);
    const char *slash = strrchr(whole, '/');
    const char *name = slash != NULL ? slash + 1 : whole;
    if (name[0] == '\0' || strcmp(name, "-") == 0)
        name = "graph.json"; /* it came on standard input */
    int status = least_diff(job->least, name, &job->out, error);
    if (status == 0)
        status = flush_out(job, error);
    if (status == 0 && least_count(job->least) == 0)
        fprintf(stderr, "mayfly: nothing to change: every permission that could be judged was used\n");
    if (status == 0 && least_unjudged(job->least) > 0)
        fprintf(stderr, "mayfly: %u lists were left alone, because nothing of their tasks succeeded\n",
                least_unjudged(job->least));
    if (status == 0 && strcmp(whole, "-") != 0)
        compare_file(whole, graph_text(job->sources.graph));
    mf_buf_free(&path);
    return status;
}

/* --- the command --- */

static int print_json(struct job *job, struct mf_error *error)
{
    if (audit_json(job->evidence, job->least, job->state, &job->out, error) != 0)
        return -1;
    mf_buf_char(&job->out, '\n');
    return flush_out(job, error);
}

static int make_evidence(struct job *job, const char *run, struct mf_error *error)
{
    const char *state_dir = option_value(job->options, "state");
    if (reader_open_journal(&job->reader, job->options, run, error) != 0 ||
        audit_sources_load(&job->sources, state_dir, job->reader.id, job->reader.journal, error) != 0)
        return -1;
    struct evidence_sources sources = {
        .journal = job->reader.journal, .graph = job->sources.graph, .providers = job->sources.providers};
    sources.run_dir_fd = reader_directory(&job->reader, error);
    if (sources.run_dir_fd < 0)
        return -1;
    int status = evidence_create(&job->evidence, &sources, error);
    if (status != 0)
        close(sources.run_dir_fd);
    return status;
}

static int print_all(struct job *job, struct mf_error *error)
{
    const struct options *options = job->options;
    const struct least_options wanted = {.refused = option_set(options, "with-refused")};
    if (option_set(options, "certificate"))
        return print_certificates(job, error);
    if (option_set(options, "csv"))
        return audit_csv(job->evidence, stdout, error);
    if (least_create(&job->least, job->evidence, &wanted, error) != 0)
        return -1;
    if (option_set(options, "patch"))
        return print_patch(job, error);
    if (option_set(options, "json"))
        return print_json(job, error);
    printf("run %s, %s\n", job->reader.id, job->state);
    audit_print_chain(job->evidence, job->reader.locked);
    return option_set(options, "check-chain") ? 0 : audit_print(job->evidence, job->least, job->reader.id, error);
}

static int usage(const struct options *options, struct mf_error *error)
{
    int forms = option_set(options, "csv") + option_set(options, "patch") + option_set(options, "certificate") +
                option_set(options, "check-chain");
    if (forms > 1)
        return mf_fail(error, MF_USAGE, "audit: one of --check-chain, --patch, --certificate and --csv at a time");
    if (option_set(options, "json") && (option_set(options, "csv") || option_set(options, "patch")))
        return mf_fail(error, MF_USAGE, "audit: --json has the patch in it; it does not go with --patch or --csv");
    if (options->argument_count > 1 && !option_set(options, "certificate"))
        return mf_fail(error, MF_USAGE, "audit: an account goes with --certificate");
    return 0;
}

static void free_job(struct job *job)
{
    int run_dir_fd = job->evidence != NULL ? evidence_run_dir(job->evidence) : -1;
    least_destroy(job->least);
    evidence_destroy(job->evidence);
    audit_sources_free(&job->sources);
    reader_close(&job->reader);
    mf_buf_free(&job->out);
    if (run_dir_fd >= 0)
        close(run_dir_fd);
}

int cmd_audit(const struct options *options)
{
    struct mf_error error = {0};
    struct job job = {.options = options};
    mf_buf_init(&job.out, OUT_BYTES_MAX);
    int status = usage(options, &error);
    if (status == 0)
        status = make_evidence(&job, options->argument_count > 0 ? options->arguments[0] : "last", &error);
    if (status == 0) {
        bool settled = view_run(evidence_view(job.evidence))->settled;
        job.state = job.reader.locked ? "running" : settled ? "finished" : "unfinished";
        status = print_all(&job, &error);
    }
    int code = status == 0 ? 0 : read_fail(&error);
    if (status == 0 && evidence_trail(job.evidence)->fault != TRAIL_NONE) {
        fflush(stdout);
        fprintf(stderr, "mayfly: run %s: the record of requests is %s: %s\n", job.reader.id,
                trail_fault_name(evidence_trail(job.evidence)->fault), evidence_trail(job.evidence)->text);
        code = EXIT_RECORD;
    }
    free_job(&job);
    return code;
}
