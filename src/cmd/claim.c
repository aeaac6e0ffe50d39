/*
 * claim.c - mayfly claim: the claim URLs of accounts that were kept for a human
 *
 * A claim URL is a credential: it goes to standard output and nowhere else, through no buffer that is not wiped.
 */
#include "cmd/commands.h"
#include "cmd/read.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLAIM_BYTES_MAX 65536
#define CLAIMS_BYTES_MAX (16u << 20)

struct claiming {
    struct reader reader;
    uint32_t only_node;
    bool json_wanted;
    struct mf_buf out; /* secret */
    struct json_writer writer;
    uint32_t found;
};

static void put_claim(struct claiming *claiming, uint32_t number, struct mf_span url)
{
    const struct view_account *account = view_account(claiming->reader.view, number);
    char tag[96], until[32] = "its end of life";
    const char *task = account->node < view_task_count(claiming->reader.view)
                           ? view_task(claiming->reader.view, account->node)->path
                           : "?";
    view_tag(claiming->reader.view, number, tag, sizeof tag);
    if (!claiming->json_wanted) {
        if (account->expires_ms > 0)
            read_clock(account->expires_ms, until);
        fprintf(stderr, "%s (task %s): until %s, whoever opens this owns the account:\n", tag, task, until);
        json_escape_shown(&claiming->out, url, url.length + 1);
        mf_buf_char(&claiming->out, '\n');
        return;
    }
    json_open_object(&claiming->writer);
    json_member_string(&claiming->writer, "task", task);
    json_member_string(&claiming->writer, "tag", tag);
    json_member_i64(&claiming->writer, "expires_ms", account->expires_ms);
    json_member_span(&claiming->writer, "url", url);
    json_close_object(&claiming->writer);
}

static int take(struct claiming *claiming, uint32_t number, struct mf_error *error)
{
    struct mf_buf url;
    mf_buf_init_secret(&url, CLAIM_BYTES_MAX);
    int status = journal_get_secret(claiming->reader.journal, number, "claim", &url, error);
    if (status == 0) {
        put_claim(claiming, number, mf_buf_view(&url));
        claiming->found++;
    }
    mf_buf_free(&url);
    return status;
}

static int take_all(struct claiming *claiming, struct mf_error *error)
{
    const struct view *view = claiming->reader.view;
    int64_t now_ms = read_now_ms();
    for (uint32_t number = 1; number <= view_account_count(view); number++) {
        const struct view_account *account = view_account(view, number);
        bool wanted = claiming->only_node == CORE_NONE || account->node == claiming->only_node ||
                      (account->node < view_task_count(view) &&
                       view_task(view, account->node)->template_node == claiming->only_node);
        if (account->state == CORE_ACCOUNT_STATE_CLAIMABLE && wanted && view_account_may_exist(account, now_ms) &&
            take(claiming, number, error) != 0)
            return -1;
    }
    if (claiming->found == 0)
        return mf_fail(error, MF_NOT_FOUND, "run %s: no account is kept to be claimed: see mayfly accounts %s",
                       claiming->reader.id, claiming->reader.id);
    return 0;
}

static int find_task(struct claiming *claiming, const struct options *options, struct mf_error *error)
{
    claiming->only_node = CORE_NONE;
    if (options->argument_count < 2)
        return 0;
    claiming->only_node = view_find(claiming->reader.view, options->arguments[1]);
    if (claiming->only_node == CORE_NONE)
        return mf_fail(error, MF_NOT_FOUND, "task %.64s: run %s has none of this name: see mayfly show %s",
                       options->arguments[1], claiming->reader.id, claiming->reader.id);
    return 0;
}

static int print(struct claiming *claiming, struct mf_error *error)
{
    if (claiming->json_wanted) {
        json_close_array(&claiming->writer);
        json_close_object(&claiming->writer);
        mf_buf_char(&claiming->out, '\n');
    }
    if (claiming->out.failed)
        return mf_fail(error, MF_MEMORY, "claim: no memory");
    fflush(stdout);
    if (read_write_all(STDOUT_FILENO, claiming->out.data, claiming->out.length) != 0)
        return mf_fail(error, MF_OS, "standard output: cannot be written");
    return 0;
}

int cmd_claim(const struct options *options)
{
    struct mf_error error = {0};
    struct claiming claiming = {.json_wanted = option_set(options, "json")};
    mf_buf_init_secret(&claiming.out, CLAIMS_BYTES_MAX);
    json_begin(&claiming.writer, &claiming.out);
    if (claiming.json_wanted) {
        json_open_object(&claiming.writer);
        json_member_i64(&claiming.writer, "mayfly", 1);
        json_key(&claiming.writer, "claims");
        json_open_array(&claiming.writer);
    }
    int status = reader_open(&claiming.reader, options, options->arguments[0], &error);
    if (status == 0)
        status = find_task(&claiming, options, &error);
    if (status == 0)
        status = take_all(&claiming, &error);
    if (status == 0)
        status = print(&claiming, &error);
    mf_buf_free(&claiming.out);
    reader_close(&claiming.reader);
    return status == 0 ? 0 : read_fail(&error);
}
