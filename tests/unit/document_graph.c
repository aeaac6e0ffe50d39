/* document_graph.c - what a loaded graph says, templates and lists at run time, and both without memory */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "document/template.h"

#include <stdio.h>
#include <string.h>

static const char fleet[] =
    "{ \"mayfly\": 1, \"name\": \"fleet\", \"provider\": \"emulator\",\n"
    "  \"params\": { \"ticket\": \"T-1\", \"count\": 2, \"sites\": [\"a\", \"b\"], \"any\": null },\n"
    "  \"limits\": { \"running\": 16, \"run_timeout\": \"30m\", \"for_each\": 3 },\n"
    "  \"defaults\": { \"timeout\": \"5m\", \"attempts\": 2, \"retain\": \"on_failure\" },\n"
    "  \"tasks\": {\n"
    "    \"judge\": { \"needs\": [{ \"task\": \"deploy\", \"on\": \"ended\", \"at_least\": \"75%\" }, \"owner\"],\n"
    "      \"command\": [\"./judge\", \"{{deploy.result}}\", \"{{deploy.result.0.url}}\", \"{{plan.result.n}}!\"],\n"
    "      \"account\": { \"from\": \"owner.two\" } },\n"
    "    \"deploy\": { \"needs\": [\"plan\"], \"for_each\": \"{{plan.result.sites}}\", \"key\": \"{{item.name}}\",\n"
    "      \"command\": [\"./deploy\", \"{{item.name}}\", \"{{key}}\", \"{{run.id}}\", \"{{task.name}}\", "
    "\"{{{{x}}\"],\n"
    "      \"env\": { \"TICKET\": \"<{{params.ticket}}>\", \"N\": \"{{item.n}}\" }, \"files\": [\"deploy.sh\"],\n"
    "      \"account\": { \"permissions\": [\"kv:write\", { \"name\": \"s:write\", \"only\": { \"script\": "
    "[\"x-{{params.ticket}}\", \"web\"], \"queue\": \"q\" } }] },\n"
    "      \"verify\": { \"command\": [\"./check\"], \"permissions\": [\"kv:read\"], \"timeout\": \"7s\" }, "
    "\"timeout\": \"2m\" },\n"
    "    \"plan\": { \"command\": [\"./plan\"], \"setup\": { \"command\": [\"make\"], \"timeout\": \"3s\" }, "
    "\"prompt\": \"do {{params.count}}\" },\n"
    "    \"owner\": { \"command\": [\"true\"], \"accounts\": { \"one\": { \"provider\": \"other\" }, \"two\": { "
    "\"env\": true, \"keep\": \"on_success\" } } },\n"
    "    \"clone\": { \"command\": [\"true\"], \"workspace\": { \"git\": \"https://example.org/{{params.ticket}}\", "
    "\"ref\": \"v{{params.count}}\" },\n"
    "      \"allow_failure\": true, \"sandbox\": false, \"retry\": { \"on\": [\"timeout\"], \"workspace\": "
    "\"continue\" }, \"on_violation\": \"stop\" },\n"
    "    \"local\": { \"for_each\": \"{{params.sites}}\", \"command\": [\"true\"], \"workspace\": { \"copy\": "
    "\"{{item}}\" }, \"prompt\": { \"file\": \"p.md\" } }\n"
    "  } }\n";

static int load_with(struct graph **graph, const char *text, const struct graph_options *options,
                     struct mf_buf *printed, struct mf_error *error)
{
    struct mf_buf buf;
    struct diagnostics *diagnostics = NULL;
    mf_buf_init(&buf, 1u << 20);
    mf_buf_init(printed, 1u << 20);
    *graph = NULL;
    if (mf_buf_text(&buf, text) != 0 || diagnostics_create(&diagnostics, "g.json", DIAGNOSTICS_SHOWN_MAX, error) != 0) {
        mf_buf_free(&buf);
        return -1;
    }
    int result = graph_load(graph, &buf, options, diagnostics, error);
    diagnostics_print(diagnostics, printed);
    diagnostics_destroy(diagnostics);
    return result;
}

static struct graph *load(const char *text)
{
    struct graph *graph;
    struct mf_buf printed;
    struct mf_error error = {0};
    if (load_with(&graph, text, &(struct graph_options){0}, &printed, &error) != 0)
        fail_msg("%s", mf_buf_cstr(&printed));
    mf_buf_free(&printed);
    return graph;
}

static uint32_t find(const struct graph *graph, const char *name)
{
    uint32_t task = graph_find(graph, mf_span(name));
    assert_int_not_equal(task, GRAPH_NONE);
    return task;
}

static const struct graph_profile *profile(const struct graph *graph, const char *name)
{
    return &graph_profiles(graph)[graph_tasks(graph)[find(graph, name)].profile];
}

static void test_tasks(void **state)
{
    (void)state;
    struct graph *graph = load(fleet);
    assert_int_equal(graph_task_count(graph), 6);
    assert_true(mf_span_is(graph_name(graph), "fleet"));
    assert_int_equal(graph_find(graph, MF_SPAN("nobody")), GRAPH_NONE);
    assert_int_equal(graph_limits(graph)->running_max, 16);
    assert_int_equal(graph_limits(graph)->run_timeout_ms, 30 * 60000);
    assert_int_equal(graph_limits(graph)->outputs_files_max, GRAPH_OUTPUTS_FILES_MAX);
    assert_int_equal(profile(graph, "plan")->timeout_ms, 300000);
    assert_int_equal(profile(graph, "plan")->setup_timeout_ms, 3000);
    assert_int_equal(profile(graph, "plan")->attempts_max, 2);
    assert_int_equal(profile(graph, "deploy")->timeout_ms, 120000);
    assert_int_equal(profile(graph, "deploy")->verify_timeout_ms, 7000);
    assert_int_equal(profile(graph, "owner")->grace_ms, GRAPH_GRACE_MS);
    assert_int_equal(profile(graph, "clone")->retry_on, 1u << GRAPH_CLASS_TIMEOUT);
    const struct graph_task *clone = &graph_tasks(graph)[find(graph, "clone")];
    assert_true(clone->allow_failure && clone->no_sandbox && clone->continue_workspace && clone->stop_on_violation);
    assert_true(clone->prepare && !clone->verify && !clone->for_each);
    assert_int_equal(clone->retain, GRAPH_RETAIN_ON_FAILURE);
    const struct graph_task *judge = &graph_tasks(graph)[find(graph, "judge")];
    const struct graph_edge *edge = &graph_edges(graph)[judge->edge_first];
    assert_int_equal(judge->edge_count, 2);
    assert_int_equal(edge->from, find(graph, "deploy"));
    assert_int_equal(edge->on, GRAPH_ON_ENDED);
    assert_true(edge->percent && edge->at_least == 75);
    assert_int_equal(judge->level, 2);
    assert_int_equal(graph_level_count(graph), 3);
    graph_destroy(graph);
}

static void test_order(void **state)
{
    (void)state;
    static const char *const wanted[] = {"plan", "owner", "clone", "local", "deploy", "judge"};
    struct graph *graph = load(fleet);
    for (uint32_t i = 0; i < 6; i++)
        assert_true(mf_span_is(graph_tasks(graph)[graph_order(graph)[i]].name, wanted[i]));
    graph_destroy(graph);
}

static int put_only(void *context, struct mf_span name, struct mf_span value, struct mf_error *error)
{
    (void)error;
    return mf_buf_printf(context, "%.*s=%.*s\n", MF_SPAN_ARGS(name), MF_SPAN_ARGS(value));
}

static void check_only(const struct graph *graph, uint32_t only, const char *wanted)
{
    struct mf_buf out;
    mf_buf_init(&out, 1000);
    assert_int_equal(template_expand_only(graph, only, &(struct template_values){0}, put_only, &out, NULL), 0);
    assert_string_equal(mf_buf_cstr(&out), wanted);
    mf_buf_free(&out);
}

static void test_slots(void **state)
{
    (void)state;
    struct graph *graph = load(fleet);
    const struct graph_slot *slots = graph_slots(graph);
    const struct graph_task *owner = &graph_tasks(graph)[find(graph, "owner")];
    const struct graph_task *judge = &graph_tasks(graph)[find(graph, "judge")];
    assert_int_equal(owner->slot_count, 2);
    assert_string_equal(graph_provider(graph, slots[owner->slot_first].provider)->name, "other");
    assert_string_equal(graph_provider(graph, slots[owner->slot_first + 1].provider)->recipe, "emulator");
    assert_false(slots[owner->slot_first].environment);
    assert_true(slots[owner->slot_first + 1].environment);
    assert_true(slots[owner->slot_first + 1].keep_on_success);
    const struct graph_slot *loan = &slots[judge->slot_first];
    assert_int_equal(loan->lender, find(graph, "owner"));
    assert_int_equal(loan->lender_slot, 1);
    assert_int_equal(loan->provider, slots[owner->slot_first + 1].provider);
    assert_int_equal(graph_permission_count(graph, loan->permissions), 0);
    const struct graph_slot *slot = &slots[graph_tasks(graph)[find(graph, "deploy")].slot_first];
    assert_int_equal(graph_permission_count(graph, slot->permissions), 2);
    assert_true(mf_span_is(graph_permission(graph, slot->permissions, 0).name, "kv:write"));
    struct graph_permission narrowed = graph_permission(graph, slot->permissions, 1);
    assert_true(mf_span_is(narrowed.name, "s:write"));
    check_only(graph, narrowed.only, "script=x-T-1\nscript=web\nqueue=q\n");
    check_only(graph, JSON_NONE, "");
    graph_destroy(graph);
}

static void test_parts(void **state)
{
    (void)state;
    struct graph *graph = load(fleet);
    const struct json_document *document = graph_document(graph);
    uint32_t plan = find(graph, "plan");
    uint32_t setup = graph_part(graph, plan, GRAPH_PART_SETUP);
    assert_true(json_is(document, json_element(document, setup, 0), "make"));
    assert_int_not_equal(graph_part(graph, plan, GRAPH_PART_PROMPT), JSON_NONE);
    assert_int_equal(graph_part(graph, plan, GRAPH_PART_PROMPT_FILE), JSON_NONE);
    assert_int_equal(graph_part(graph, plan, GRAPH_PART_VERIFY_COMMAND), JSON_NONE);
    uint32_t local = find(graph, "local");
    assert_int_equal(graph_part(graph, local, GRAPH_PART_PROMPT), JSON_NONE);
    assert_true(json_is(document, graph_part(graph, local, GRAPH_PART_PROMPT_FILE), "p.md"));
    uint32_t verify = graph_part(graph, find(graph, "deploy"), GRAPH_PART_VERIFY_COMMAND);
    assert_true(json_is(document, json_element(document, verify, 0), "./check"));
    graph_destroy(graph);
}

static int result_of(void *context, uint32_t task, struct mf_buf *out, struct mf_error *error)
{
    const struct graph *graph = context;
    struct mf_span name = graph_tasks(graph)[task].name;
    if (mf_span_is(name, "plan"))
        return mf_buf_text(
            out, "{\"n\": 1.50, \"sites\": [{\"name\":\"web\",\"n\":\"\\u0031\"},{\"name\":\"api\",\"n\":2}]}");
    if (mf_span_is(name, "deploy"))
        return mf_buf_text(out, "[{\"url\":\"https://{{params.ticket}}\"}, null]");
    return mf_fail(error, MF_NOT_FOUND, "task `%.*s` has no result", MF_SPAN_ARGS(name));
}

/* The NUL-terminated texts as lines. */
static void check_lines(struct mf_buf *out, uint32_t count, const char *wanted)
{
    uint32_t found = 0;
    for (size_t i = 0; i < out->length; i++) {
        if (out->data[i] == '\0') {
            out->data[i] = '\n';
            found++;
        }
    }
    assert_int_equal(found, count);
    assert_string_equal(mf_buf_cstr(out), wanted);
}

static void test_commands(void **state)
{
    (void)state;
    struct graph *graph = load(fleet);
    struct template_values values = {.result = result_of, .context = graph};
    struct mf_buf out;
    struct mf_error error;
    uint32_t count;
    mf_buf_init(&out, 4096);
    uint32_t judge = graph_part(graph, find(graph, "judge"), GRAPH_PART_COMMAND);
    assert_int_equal(template_expand_command(graph, judge, &values, &out, &count, &error), 0);
    check_lines(&out, 4,
                "./judge\n[{\"url\":\"https://{{params.ticket}}\"}, null]\nhttps://{{params.ticket}}\n1.50!\n");
    values.item_json = MF_SPAN("{\"name\":\"web\",\"n\":\"\\u0031\"}");
    values.key = MF_SPAN("web");
    values.run_id = MF_SPAN("k3v9x0q2m1ab");
    values.task_name = MF_SPAN("deploy/web");
    mf_buf_clear(&out);
    uint32_t deploy = graph_part(graph, find(graph, "deploy"), GRAPH_PART_COMMAND);
    assert_int_equal(template_expand_command(graph, deploy, &values, &out, &count, &error), 0);
    check_lines(&out, 6, "./deploy\nweb\nweb\nk3v9x0q2m1ab\ndeploy/web\n{{x}}\n");
    mf_buf_clear(&out);
    uint32_t env = graph_part(graph, find(graph, "deploy"), GRAPH_PART_ENV);
    assert_int_equal(template_expand_env(graph, env, &values, &out, &count, &error), 0);
    check_lines(&out, 2, "TICKET=<T-1>\nN=1\n");
    assert_int_equal(template_expand_env(graph, JSON_NONE, &values, &out, &count, &error), 0);
    assert_int_equal(count, 0);
    mf_buf_free(&out);
    graph_destroy(graph);
}

static void check_expansion(const struct graph *graph, const char *text, size_t bytes_max, enum mf_code code,
                            const char *wanted)
{
    struct mf_buf out;
    struct mf_error error = {0};
    const struct template_values values = {.result = result_of, .context = (void *)(uintptr_t)graph};
    mf_buf_init(&out, bytes_max);
    int result = template_expand(graph, mf_span(text), &values, &out, "argument_bytes_max", &error);
    assert_int_equal(result, code == MF_NONE ? 0 : -1);
    assert_int_equal(error.code, code);
    if (code == MF_NONE)
        assert_string_equal(mf_buf_cstr(&out), wanted);
    else if (strstr(error.text, wanted) == NULL)
        fail_msg("%s: %s", text, error.text);
    mf_buf_free(&out);
}

static void test_expansion(void **state)
{
    (void)state;
    struct graph *graph = load(fleet);
    check_expansion(graph, "", 10, MF_NONE, "");
    check_expansion(graph, "a}}b{c", 10, MF_NONE, "a}}b{c");
    check_expansion(graph, "{{{{{{{{", 10, MF_NONE, "{{{{");
    check_expansion(graph, "{{{{{{params.ticket}}", 10, MF_NONE, "{{T-1");
    check_expansion(graph, "{{  params.count }}", 10, MF_NONE, "2");
    check_expansion(graph, "{{params.sites.1}}{{params.any}}", 10, MF_NONE, "bnull");
    check_expansion(graph, "{{plan.result.sites.0.n}}", 10, MF_NONE, "1");
    check_expansion(graph, "{{plan.result.nothing}}", 10, MF_NOT_FOUND, "result of task `plan` has no such value");
    check_expansion(graph, "{{plan.result.sites.9}}", 10, MF_NOT_FOUND, "plan");
    check_expansion(graph, "{{owner.result}}", 10, MF_NOT_FOUND, "task `owner` has no result");
    check_expansion(graph, "{{deploy.result.1.url}}", 10, MF_NOT_FOUND, "deploy");
    check_expansion(graph, "{{nobody.result}}", 10, MF_NOT_FOUND, "nobody");
    check_expansion(graph, "{{item}}", 10, MF_NOT_FOUND, "item");
    check_expansion(graph, "{{key}}", 10, MF_NOT_FOUND, "key");
    check_expansion(graph, "{{{x}}}", 10, MF_INPUT, "may hold");
    check_expansion(graph, "{{x", 10, MF_INPUT, "not closed");
    check_expansion(graph, "{{HOME}}", 10, MF_INPUT, "names no value");
    check_expansion(graph, "12345678901", 10, MF_LIMIT, "argument_bytes_max (10 bytes)");
    check_expansion(graph, "{{deploy.result}}", 10, MF_LIMIT, "argument_bytes_max");
    graph_destroy(graph);
}

static void test_lists(void **state)
{
    (void)state;
    struct graph *graph = load(fleet);
    struct graph_list *list;
    struct mf_error error;
    const struct template_values values = {.result = result_of, .context = graph, .run_id = MF_SPAN("r")};
    uint32_t deploy = find(graph, "deploy");
    assert_int_equal(graph_list_evaluate(&list, graph, deploy, &values, &error), 0);
    assert_int_equal(graph_list_count(list), 2);
    assert_true(mf_span_is(graph_list_key(list, 1), "api"));
    assert_true(mf_span_is(graph_list_item(list, 1), "{\"name\":\"api\",\"n\":2}"));
    struct graph_list *again;
    assert_int_equal(graph_list_from_json(&again, graph, deploy, graph_list_json(list), &values, &error), 0);
    assert_true(mf_span_equal(graph_list_key(again, 0), graph_list_key(list, 0)));
    graph_list_destroy(again);
    graph_list_destroy(list);
    assert_int_equal(graph_list_evaluate(&list, graph, find(graph, "local"), &values, &error), 0);
    assert_true(mf_span_is(graph_list_key(list, 1), "1"));
    graph_list_destroy(list);
    static const struct {
        const char *json, *wanted;
    } bad[] = {
        {"5", "task `deploy`: for_each: expected an array"},
        {"[", "for_each: 1:2"},
        {"[1]", "key of element 0: {{item.name}}: there is no such value"},
        {"[{\"name\":\"a/b\"}]", "key `a/b` of element 0"},
        {"[{\"name\":\"..\"}]", "key `..` of element 0"},
        {"[{\"name\":\"\"}]", "key `` of element 0"},
        {"[{\"name\":\"a\"},{\"name\":\"a\"}]", "key `a` stands for elements 0 and 1"},
        {"[1,2,3,4]", "4 elements are more than limits.for_each, 3"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(graph_list_from_json(&list, graph, deploy, mf_span(bad[i].json), &values, &error), -1);
        if (strstr(error.text, bad[i].wanted) == NULL)
            fail_msg("%s: %s", bad[i].json, error.text);
    }
    graph_list_destroy(NULL);
    graph_destroy(graph);
}

static void test_workspaces(void **state)
{
    (void)state;
    struct graph *graph = load(fleet);
    struct graph_workspace workspace;
    struct mf_error error;
    struct template_values values = {0};
    assert_int_equal(graph_workspace(graph, find(graph, "clone"), &values, &workspace, &error), 0);
    assert_int_equal(workspace.kind, GRAPH_WORKSPACE_GIT);
    assert_string_equal(workspace.location, "https://example.org/T-1");
    assert_string_equal(workspace.ref, "v2");
    graph_workspace_free(&workspace);
    assert_int_equal(graph_workspace(graph, find(graph, "plan"), &values, &workspace, &error), 0);
    assert_int_equal(workspace.kind, GRAPH_WORKSPACE_EMPTY);
    values.item_json = MF_SPAN("\"dir\"");
    assert_int_equal(graph_workspace(graph, find(graph, "local"), &values, &workspace, &error), 0);
    assert_string_equal(workspace.location, "dir");
    graph_workspace_free(&workspace);
    values.item_json = MF_SPAN("\"../..\"");
    assert_int_equal(graph_workspace(graph, find(graph, "local"), &values, &workspace, &error), -1);
    assert_non_null(strstr(error.text, "leaves the directory"));
    graph_destroy(graph);
}

static void check_setting(const char *name, const char *value, const char *wanted)
{
    struct graph *graph;
    struct mf_buf printed;
    struct mf_error error;
    const struct graph_setting setting = {mf_span(name), mf_span(value)};
    const struct graph_options options = {.settings = &setting, .setting_count = 1};
    int result = load_with(&graph, fleet, &options, &printed, &error);
    if (result == 0) {
        struct mf_span json = graph_parameter(graph, mf_span(name));
        assert_int_equal(json.length, strlen(wanted));
        assert_memory_equal(json.data, wanted, json.length);
    } else if (strstr(mf_buf_cstr(&printed), wanted) == NULL) {
        fail_msg("%s=%s: %s", name, value, mf_buf_cstr(&printed));
    }
    graph_destroy(graph);
    mf_buf_free(&printed);
}

static void test_settings(void **state)
{
    (void)state;
    check_setting("ticket", "5", "\"5\"");
    check_setting("ticket", "a\"\n", "\"a\\\"\\n\"");
    check_setting("ticket", "\xff", "is not UTF-8");
    check_setting("count", " 7 ", "7");
    check_setting("count", "seven", "the default is a number");
    check_setting("sites", "[\"x\"]", "[\"x\"]");
    check_setting("sites", "{}", "the default is an array");
    check_setting("any", "[1]", "[1]");
    check_setting("any", "text", "\"text\"");
    check_setting("tickets", "x", "--set tickets: the graph has no such parameter");
}

static void test_provider_option(void **state)
{
    (void)state;
    struct graph *graph;
    struct mf_buf printed;
    struct mf_error error;
    assert_int_equal(load_with(&graph, fleet, &(struct graph_options){.provider = "special"}, &printed, &error), 0);
    const struct graph_task *deploy = &graph_tasks(graph)[find(graph, "deploy")];
    assert_string_equal(graph_provider(graph, graph_slots(graph)[deploy->slot_first].provider)->name, "special");
    mf_buf_free(&printed);
    graph_destroy(graph);
}

static void test_prompt_file(void **state)
{
    (void)state;
    struct graph *graph = load(fleet);
    struct diagnostics *diagnostics;
    struct mf_error error;
    assert_int_equal(diagnostics_create(&diagnostics, "p.md", 10, &error), 0);
    uint32_t local = find(graph, "local");
    assert_int_equal(
        template_check_prompt(graph, local, MF_SPAN("do\n{{item}} of {{params.ticket}}"), diagnostics, &error), 0);
    assert_int_equal(template_check_prompt(graph, local, MF_SPAN("do\n  {{plan.result}}"), diagnostics, &error), -1);
    assert_string_equal(error.text, "p.md:2:5: task `plan` need not have run: add it to `needs`");
    diagnostics_destroy(diagnostics);
    graph_destroy(graph);
}

/* More mistakes than are shown: all are counted. */
static void test_many_errors(void **state)
{
    (void)state;
    struct mf_buf text;
    struct mf_buf printed;
    struct graph *graph;
    struct mf_error error;
    mf_buf_init(&text, 1u << 20);
    mf_buf_text(&text, "{\"mayfly\":1,\"tasks\":{");
    for (int i = 0; i < 300; i++)
        mf_buf_printf(&text, "\"t%d\":{\"comand\":[\"x\"],\"needs\":[\"u%d\"]},\n", i, i);
    mf_buf_text(&text, "\"z\":{\"command\":[\"x\"]}}}");
    assert_int_equal(load_with(&graph, mf_buf_cstr(&text), &(struct graph_options){0}, &printed, &error), -1);
    assert_non_null(strstr(error.text, "g.json:1:"));
    assert_non_null(strstr(error.text, "(and 899 more errors)"));
    assert_non_null(strstr(mf_buf_cstr(&printed), "g.json: and 850 more\n"));
    mf_buf_free(&text);
    mf_buf_free(&printed);
}

/* A cycle longer than a line is cut in the middle; an order of a long chain needs no stack. */
static void test_long_chains(void **state)
{
    (void)state;
    struct mf_buf text;
    struct mf_buf printed;
    struct graph *graph;
    struct mf_error error;
    for (int closed = 0; closed < 2; closed++) {
        mf_buf_init(&text, 4u << 20);
        mf_buf_text(&text, "{\"mayfly\":1,\"tasks\":{");
        for (int i = 0; i < 20000; i++)
            mf_buf_printf(&text, "%s\"t%d\":{\"needs\":[\"t%d\"],\"command\":[\"x\"]}", i > 0 ? "," : "", i, i + 1);
        mf_buf_printf(&text, ",\"t20000\":{\"needs\":[%s],\"command\":[\"x\"]}}}", closed ? "\"t0\"" : "");
        struct mf_buf whole = text;
        struct diagnostics *diagnostics;
        assert_int_equal(diagnostics_create(&diagnostics, "g.json", 5, &error), 0);
        assert_int_equal(graph_load(&graph, &whole, &(struct graph_options){0}, diagnostics, &error), closed ? -1 : 0);
        if (!closed) {
            assert_int_equal(graph_level_count(graph), 20001);
            assert_int_equal(graph_order(graph)[0], 20000);
            graph_destroy(graph);
        }
        mf_buf_init(&printed, 1u << 20);
        diagnostics_print(diagnostics, &printed);
        assert_int_equal(diagnostics_errors(diagnostics), closed);
        assert_true(!closed || strstr(mf_buf_cstr(&printed), "t29 -> (19941 more) -> t19971") != NULL);
        mf_buf_free(&printed);
        diagnostics_destroy(diagnostics);
    }
}

static const char walls[] =
    "{ \"mayfly\": 1,\n"
    "  \"services\": { \"one\": { \"running\": 3, \"budget_usd\": 12.5, \"credential\": { \"env\": \"KEY\" } }, "
    "\"two\": { "
    "\"recipe\": \"s/two.json\" }, \"three\": {} },\n"
    "  \"limits\": { \"budget_usd\": 100 },\n"
    "  \"defaults\": { \"sandbox\": { \"memory\": \"2G\", \"read\": [\"/opt\"] }, \"egress\": [\"a.example:443\", "
    "{ \"host\": \"[::1]:80\", \"private\": true }], \"budget_usd\": 0.25 },\n"
    "  \"tasks\": {\n"
    "    \"silent\": { \"command\": [\"true\"] },\n"
    "    \"own\": { \"command\": [\"true\"], \"egress\": [{ \"host\": \"*.b.example:1\" }], \"uses\": [\"two\", "
    "\"one\"],\n"
    "      \"budget_usd\": 0.000001, \"sandbox\": { \"pids\": 7, \"cpus\": 0.5, \"disk\": \"3M\", \"root\": \"/srv\", "
    "\"read\": "
    "[] } },\n"
    "    \"none\": { \"command\": [\"true\"], \"egress\": [], \"uses\": [\"two\"], \"sandbox\": true },\n"
    "    \"bare\": { \"command\": [\"true\"], \"sandbox\": false, \"egress\": [\"a.example:443\"] } } }\n";

static void check_egress(const struct graph *graph, const char *name, const char *wanted)
{
    struct mf_buf out;
    uint32_t task = find(graph, name);
    mf_buf_init(&out, 1000);
    for (uint32_t i = 0; i < graph_egress_count(graph, task); i++) {
        assert_int_equal(graph_egress(graph, task, i, &out), 0);
        mf_buf_text(&out, " ");
    }
    assert_string_equal(mf_buf_cstr(&out), wanted);
    mf_buf_free(&out);
}

static void test_walls(void **state)
{
    (void)state;
    struct graph *graph = load(walls);
    struct graph_sandbox silent = graph_sandbox(graph, find(graph, "silent"));
    assert_false(silent.off);
    assert_int_equal(silent.memory_bytes, 2ull << 30);
    assert_int_equal(graph_document(graph)->nodes[silent.read].children, 1);
    assert_int_equal(silent.root.length, 0);
    assert_int_equal(silent.pids, 0);
    struct graph_sandbox own = graph_sandbox(graph, find(graph, "own"));
    assert_int_equal(own.memory_bytes, 2ull << 30);
    assert_int_equal(own.disk_bytes, 3u << 20);
    assert_int_equal(own.pids, 7);
    assert_int_equal(own.cpu_millis, 500);
    assert_true(mf_span_is(own.root, "/srv"));
    assert_int_equal(graph_document(graph)->nodes[own.read].children, 0);
    assert_false(graph_sandbox(graph, find(graph, "none")).off);
    struct graph_sandbox bare = graph_sandbox(graph, find(graph, "bare"));
    assert_true(bare.off && bare.memory_bytes == 0 && bare.read == JSON_NONE);
    assert_true(graph_tasks(graph)[find(graph, "bare")].no_sandbox);
    check_egress(graph, "silent", "a.example:443 ![::1]:80 ");
    check_egress(graph, "own", "*.b.example:1 ");
    check_egress(graph, "none", "");
    graph_destroy(graph);
    graph = load("{\"mayfly\":1,\"defaults\":{\"sandbox\":false},\"tasks\":{\"a\":{\"command\":[\"x\"]},"
                 "\"b\":{\"command\":[\"x\"],\"sandbox\":{\"memory\":\"1M\"}}}}");
    assert_true(graph_sandbox(graph, find(graph, "a")).off);
    assert_false(graph_sandbox(graph, find(graph, "b")).off);
    assert_int_equal(graph_sandbox(graph, find(graph, "b")).memory_bytes, 1u << 20);
    assert_int_equal(graph_egress_count(graph, find(graph, "a")), 0);
    graph_destroy(graph);
}

static void test_services(void **state)
{
    (void)state;
    struct graph *graph = load(walls);
    uint32_t own = find(graph, "own");
    assert_int_equal(graph_service_count(graph), 3);
    const struct graph_service *one = graph_service(graph, 0);
    assert_string_equal(one->source.name, "one");
    assert_string_equal(one->source.recipe, "one");
    assert_string_equal(one->source.credential_source, "KEY");
    assert_int_equal(one->running_max, 3);
    assert_int_equal(one->budget_micro_usd, 12500000);
    assert_true(one->source.used && !graph_service(graph, 2)->source.used);
    assert_string_equal(graph_service(graph, 1)->source.recipe, "s/two.json");
    assert_int_equal(graph_service(graph, 1)->budget_micro_usd, -1);
    assert_int_equal(graph_service(graph, 1)->running_max, 0);
    assert_int_equal(graph_budget_micro_usd(graph), 100000000);
    assert_int_equal(graph_use_count(graph, own), 2);
    assert_int_equal(graph_use(graph, own, 0), 1);
    assert_int_equal(graph_use(graph, own, 1), 0);
    assert_int_equal(graph_task_budget_micro_usd(graph, own), 1);
    assert_int_equal(graph_task_budget_micro_usd(graph, find(graph, "none")), 250000);
    assert_int_equal(graph_task_budget_micro_usd(graph, find(graph, "silent")), -1);
    assert_int_equal(graph_use_count(graph, find(graph, "silent")), 0);
    graph_destroy(graph);
    graph = load(fleet);
    assert_int_equal(graph_budget_micro_usd(graph), -1);
    assert_int_equal(graph_use_count(graph, 0), 0);
    assert_int_equal(graph_task_budget_micro_usd(graph, 0), -1);
    graph_destroy(graph);
}

/* A list without a wall and a limit without a service are allowed and said. */
static void test_notes(void **state)
{
    (void)state;
    struct graph *graph;
    struct mf_buf printed;
    struct mf_error error = {0};
    assert_int_equal(load_with(&graph, walls, &(struct graph_options){0}, &printed, &error), 0);
    assert_non_null(strstr(mf_buf_cstr(&printed), "without a sandbox nothing holds the task to this list"));
    mf_buf_free(&printed);
    graph_destroy(graph);
    assert_int_equal(load_with(&graph,
                               "{\"mayfly\":1,\"limits\":{\"budget_usd\":1},\"tasks\":{\"a\":{\"command\":[\"x\"]}}}",
                               &(struct graph_options){0}, &printed, &error),
                     0);
    assert_non_null(strstr(mf_buf_cstr(&printed), "there are no services"));
    mf_buf_free(&printed);
    graph_destroy(graph);
}

static int use_walls(void)
{
    struct graph *graph;
    struct mf_buf printed;
    struct mf_error error = {0};
    struct mf_buf out;
    mf_buf_init(&out, 100);
    int result = load_with(&graph, walls, &(struct graph_options){0}, &printed, &error);
    if (result == 0) {
        result = graph_egress(graph, 0, 1, &out);
        graph_sandbox(graph, 1);
    }
    graph_destroy(graph);
    mf_buf_free(&out);
    mf_buf_free(&printed);
    return result;
}

static int use_everything(void)
{
    struct graph *graph;
    struct graph_list *list = NULL;
    struct graph_workspace workspace = {0};
    struct mf_buf printed;
    struct mf_error error = {0};
    struct mf_buf out;
    uint32_t count;
    const struct graph_setting setting = {MF_SPAN("any"), MF_SPAN("[1]")};
    const struct graph_options options = {.settings = &setting, .setting_count = 1};
    mf_buf_init(&out, 4096);
    int result = load_with(&graph, fleet, &options, &printed, &error);
    if (result == 0) {
        struct template_values values = {.result = result_of, .context = graph};
        uint32_t judge = graph_part(graph, graph_find(graph, MF_SPAN("judge")), GRAPH_PART_COMMAND);
        result = graph_list_evaluate(&list, graph, graph_find(graph, MF_SPAN("deploy")), &values, &error);
        if (result == 0)
            result = template_expand_command(graph, judge, &values, &out, &count, &error);
        if (result == 0)
            result = graph_workspace(graph, graph_find(graph, MF_SPAN("clone")), &values, &workspace, &error);
    }
    graph_workspace_free(&workspace);
    graph_list_destroy(list);
    graph_destroy(graph);
    mf_buf_free(&out);
    mf_buf_free(&printed);
    return result;
}

static void try_without_memory(int (*use)(void), int tries_min)
{
    int n = 0;
    for (bool done = false; !done; n++) {
        mf_alloc_fail_after(n, 1);
        done = use() == 0;
        mf_alloc_fail_after(-1, 0);
    }
    assert_true(n > tries_min);
}

static void test_without_memory(void **state)
{
    (void)state;
    try_without_memory(use_everything, 40);
    try_without_memory(use_walls, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks),       cmocka_unit_test(test_order),
        cmocka_unit_test(test_slots),       cmocka_unit_test(test_parts),
        cmocka_unit_test(test_commands),    cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_lists),       cmocka_unit_test(test_workspaces),
        cmocka_unit_test(test_settings),    cmocka_unit_test(test_provider_option),
        cmocka_unit_test(test_prompt_file), cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_long_chains), cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_walls),       cmocka_unit_test(test_services),
        cmocka_unit_test(test_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
