/* attempt.c - the runner's tables: attempts and the slots they work in, leases and the stages they are for */
#include "runner/runner_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

/* --- slots: numbers; the directories behind them are the spawner's --- */

int slot_take(struct runner *runner, uint32_t *slot)
{
    if (runner->free_count > 0) {
        *slot = ((uint32_t *)runner->free_slots)[--runner->free_count]; /* the last one: its directories are warm */
        return 0;
    }
    /* room for every slot to come back, taken now, so that giving one back cannot fail */
    if (mf_grow(&runner->free_slots, &runner->free_capacity, (size_t)runner->slot_count + 1, sizeof(uint32_t), 64) != 0)
        return -1;
    *slot = runner->slot_count++;
    return 0;
}

void slot_give(struct runner *runner, uint32_t slot, bool dirty, const struct attempt *retained)
{
    if (slot == RUNNER_SLOT_NONE)
        return;
    if (dirty) {
        struct message_release release = {.slot = slot, .retain = retained != NULL};
        if (retained != NULL) {
            release.path = mf_span(retained->path);
            release.attempt = retained->number;
        }
        struct frame_writer writer;
        channel_begin(runner->spawner, &writer, FRAME_RELEASE, 0, 0);
        message_put_release(&writer, &release);
        channel_end(runner->spawner, &writer, NULL);
    }
    ((uint32_t *)runner->free_slots)[runner->free_count++] = slot;
}

/* --- attempts --- */

static struct attempt **bucket(struct runner *runner, struct mf_span path)
{
    return &runner->attempts[mf_hash(path.data, path.length, 0) % RUNNER_BUCKETS];
}

struct attempt *attempt_find(struct runner *runner, struct mf_span path, uint32_t number)
{
    struct attempt *attempt = *bucket(runner, path);
    while (attempt != NULL && (attempt->number != number || !mf_span_is(path, attempt->path)))
        attempt = attempt->next;
    return attempt;
}

struct attempt *attempt_kept(struct runner *runner, struct mf_span path)
{
    struct attempt *attempt = *bucket(runner, path);
    while (attempt != NULL && !(attempt->kept && mf_span_is(path, attempt->path)))
        attempt = attempt->next;
    return attempt;
}

struct attempt *attempt_get(struct runner *runner, struct mf_span path, uint32_t number)
{
    struct attempt *attempt = attempt_find(runner, path, number);
    if (attempt != NULL)
        return attempt;
    attempt = mf_calloc(1, sizeof *attempt);
    if (attempt == NULL)
        return NULL;
    attempt->number = number;
    attempt->slot = RUNNER_SLOT_NONE;
    int fits = mf_span_copy(path, attempt->path, sizeof attempt->path);
    mf_assert(fits == 0); /* paths_instance_valid was asked before */
    struct attempt **head = bucket(runner, path);
    attempt->next = *head;
    *head = attempt;
    return attempt;
}

void attempt_forget(struct runner *runner, struct attempt *attempt)
{
    struct attempt **at = bucket(runner, mf_span(attempt->path));
    while (*at != attempt)
        at = &(*at)->next;
    *at = attempt->next;
    mf_free(attempt);
}

static void finish(struct runner *runner, struct attempt *attempt)
{
    attempt->finishing = false;
    attempt->kept = attempt->again && attempt->slot != RUNNER_SLOT_NONE;
    if (attempt->kept)
        return;
    slot_give(runner, attempt->slot, attempt->dirty, attempt->retain ? attempt : NULL);
    attempt_forget(runner, attempt);
}

void attempt_stage_over(struct runner *runner, struct attempt *attempt)
{
    mf_assert(attempt->stages > 0);
    attempt->stages--;
    if (attempt->stages == 0 && attempt->finishing)
        finish(runner, attempt);
}

int runner_on_finish(struct runner *runner, const struct frame *frame)
{
    struct message_finish message;
    struct message_memory memory;
    if (message_take_finish(frame->payload, &message, &memory) != 0)
        return -1;
    struct attempt *attempt = attempt_find(runner, message.path, message.attempt);
    if (attempt != NULL) {
        attempt->retain = message.retain == RUNNER_RETAIN_WORKSPACE;
        attempt->again = message.again;
        attempt->finishing = true;
        if (attempt->stages == 0)
            finish(runner, attempt);
    }
    message_memory_free(&memory);
    return 0;
}

/* --- leases --- */

static void lease_free(struct lease *lease)
{
    message_memory_free(&lease->memory);
    mf_buf_free(&lease->payload);
    mf_free(lease);
}

struct lease *lease_find(struct runner *runner, uint64_t id)
{
    struct lease *lease = runner->leases[id % RUNNER_BUCKETS];
    while (lease != NULL && lease->id != id)
        lease = lease->next;
    return lease;
}

static void lease_drop(struct runner *runner, uint64_t id)
{
    struct lease **at = &runner->leases[id % RUNNER_BUCKETS];
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    struct lease *lease = *at;
    if (lease == NULL)
        return;
    *at = lease->next;
    lease_free(lease);
}

int runner_on_lease(struct runner *runner, const struct frame *frame)
{
    lease_drop(runner, frame->lease); /* sent again: the new one counts */
    struct lease *lease = mf_calloc(1, sizeof *lease);
    if (lease == NULL)
        return -1;
    lease->id = frame->lease;
    lease->stage = frame->stage;
    mf_buf_init_secret(&lease->payload, FRAME_BYTES_MAX);
    if (mf_buf_span(&lease->payload, frame->payload) != 0 ||
        message_take_lease(mf_buf_view(&lease->payload), &lease->message, &lease->memory) != 0) {
        lease_free(lease);
        return -1;
    }
    struct lease **head = &runner->leases[lease->id % RUNNER_BUCKETS];
    lease->next = *head;
    *head = lease;
    return 0;
}

/* The gateway answers when nothing of it is in flight any more, also for a lease that ended with its stage. */
int runner_on_drop(struct runner *runner, const struct frame *frame)
{
    lease_drop(runner, frame->lease);
    gateway_drop(runner->gateway, frame->lease);
    return 0;
}

void leases_drop_of_stage(struct runner *runner, const struct stage *stage)
{
    for (uint32_t i = 0; i < stage->spawn.spawn.lease_count; i++)
        lease_drop(runner, stage->spawn.spawn.leases[i]);
}

void runner_free_tables(struct runner *runner)
{
    for (size_t i = 0; i < RUNNER_BUCKETS; i++) {
        while (runner->stages[i] != NULL)
            stage_destroy(runner->stages[i]);
        while (runner->leases[i] != NULL)
            lease_drop(runner, runner->leases[i]->id);
    }
    for (size_t i = 0; i < RUNNER_BUCKETS; i++) {
        while (runner->attempts[i] != NULL) {
            struct attempt *next = runner->attempts[i]->next;
            mf_free(runner->attempts[i]);
            runner->attempts[i] = next;
        }
    }
    mf_free(runner->free_slots);
    runner->free_slots = NULL;
}
