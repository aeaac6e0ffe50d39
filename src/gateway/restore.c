/*
 * restore.c - what an earlier life of the runner spent, from its record
 *
 * A service's budget is of the run, not of a process: after a runner's death the next one reads the record that the first one
 * left. What was allowed and never answered is charged with all that was reserved for it, because nobody knows what the
 * provider made of it.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"
#include "json/scan.h"

#include <string.h>

struct open_request {
    uint64_t request;
    int64_t reserved_micro_usd;
    struct past *past;
};

struct restore {
    struct gateway *gateway;
    struct open_request *open; /* owned */
    size_t capacity, count;
};

struct restore *restore_create(struct gateway *gateway)
{
    struct restore *restore = mf_calloc(1, sizeof *restore);
    if (restore != NULL)
        restore->gateway = gateway;
    return restore;
}

static struct past *past_of(struct gateway *gateway, struct mf_span service)
{
    for (struct past *past = gateway->past; past != NULL; past = past->next)
        if (mf_span_is(service, past->service))
            return past;
    struct past *past = mf_calloc(1, sizeof *past);
    if (past == NULL || (past->service = mf_strndup(service.data, service.length)) == NULL) {
        mf_free(past);
        return NULL;
    }
    past->next = gateway->past;
    gateway->past = past;
    return past;
}

static bool read_number(const struct json_document *json, const char *name, int64_t *out)
{
    uint32_t node = json_member(json, 0, name);
    return node != JSON_NONE && json_int(json, node, out) == 0 && *out >= 0;
}

static void take_allowed(struct restore *restore, const struct json_document *json, int64_t request)
{
    struct mf_span service;
    int64_t reserved;
    uint32_t node = json_member(json, 0, "provider");
    if (!read_number(json, "reserved_micro_usd", &reserved) || node == JSON_NONE ||
        json_plain(json, node, &service) != 0)
        return;
    struct past *past = past_of(restore->gateway, service);
    if (past == NULL ||
        mf_grow((void **)&restore->open, &restore->capacity, restore->count + 1, sizeof *restore->open, 16) != 0)
        return;
    restore->open[restore->count++] = (struct open_request){(uint64_t)request, reserved, past};
}

static void charge(struct gateway *gateway, struct past *past, int64_t micro_usd)
{
    past->requests++;
    if (__builtin_add_overflow(past->micro_usd, micro_usd, &past->micro_usd))
        past->micro_usd = INT64_MAX;
    budget_settle(&gateway->run_budget, 0, micro_usd, 0);
}

/* Most are found near the end: what was allowed last is answered next. */
static void take_answered(struct restore *restore, const struct json_document *json, int64_t request)
{
    int64_t charged = 0;
    (void)read_number(json, "charged_micro_usd", &charged);
    for (size_t i = restore->count; i-- > 0;)
        if (restore->open[i].request == (uint64_t)request) {
            charge(restore->gateway, restore->open[i].past, charged);
            restore->open[i] = restore->open[--restore->count];
            return;
        }
}

void restore_line(void *context, struct mf_span line)
{
    struct restore *restore = context;
    struct json_document json;
    int64_t request;
    if (json_scan(&json, line, &json_limits_default, NULL) != 0)
        return;
    uint32_t event = json_member(&json, 0, "event");
    if (event != JSON_NONE && read_number(&json, "request", &request)) {
        if (json_is(&json, event, "allowed"))
            take_allowed(restore, &json, request);
        else if (json_is(&json, event, "answered"))
            take_answered(restore, &json, request);
    }
    json_document_free(&json);
}

void restore_end(struct restore *restore)
{
    for (size_t i = 0; i < restore->count; i++)
        charge(restore->gateway, restore->open[i].past, restore->open[i].reserved_micro_usd);
    mf_free(restore->open);
    mf_free(restore);
}

void restore_service(struct service *service)
{
    for (struct past *past = service->gateway->past; past != NULL; past = past->next)
        if (strcmp(past->service, service->name) == 0) {
            service->budget.spent_micro_usd = past->micro_usd;
            service->budget.requests = past->requests;
        }
}

void restore_free(struct gateway *gateway)
{
    while (gateway->past != NULL) {
        struct past *past = gateway->past;
        gateway->past = past->next;
        mf_free(past->service);
        mf_free(past);
    }
}
