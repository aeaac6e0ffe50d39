/* record.c - a record's facts as JSON text and back */
#include "store/record.h"

#include "base/assert.h"

#include <string.h>

#define FACTS_OF_RECORD 4

static const struct kind {
    struct mf_span name;
    enum core_subject subject;
    enum core_fact facts[FACTS_OF_RECORD];
} kinds[CORE_RECORD_COUNT] = {
#define X(kind, name, subject, f0, f1, f2, f3)                                                                         \
    {{name, sizeof name - 1}, CORE_SUBJECT_##subject, {CORE_FACT_##f0, CORE_FACT_##f1, CORE_FACT_##f2, CORE_FACT_##f3}},
    CORE_RECORDS(X)
#undef X
};

static const struct mf_span fact_names[CORE_FACT_KIND_COUNT] = {
    {"", 0},
#define X(fact, name) {name, sizeof name - 1},
    CORE_FACTS(X)
#undef X
};

/* Facts whose value is written as a name. */
struct words {
    const struct mf_span *names;
    int64_t count;
};
#define X(word, name) {name, sizeof name - 1},
static const struct mf_span class_names[] = {CORE_CLASSES(X)};
static const struct mf_span stage_names[] = {CORE_STAGES(X)};
static const struct mf_span stop_names[] = {CORE_STOPS(X)};
static const struct mf_span drain_names[] = {CORE_DRAINS(X)};
#undef X
#define WORDS(names) {names, sizeof names / sizeof names[0]}
static const struct words fact_words[CORE_FACT_KIND_COUNT] = {
    [CORE_FACT_CLASS] = WORDS(class_names),
    [CORE_FACT_STAGE] = WORDS(stage_names),
    [CORE_FACT_STOP] = WORDS(stop_names),
    [CORE_FACT_DRAIN] = WORDS(drain_names),
};

struct mf_span record_kind_name(enum core_record_kind kind)
{
    mf_assert(kind < CORE_RECORD_COUNT);
    return kinds[kind].name;
}

enum core_subject record_subject(enum core_record_kind kind)
{
    mf_assert(kind < CORE_RECORD_COUNT);
    return kinds[kind].subject;
}

bool record_remark(enum core_record_kind kind)
{
    switch ((int)kind) {
#define X(record) case CORE_##record:
        CORE_REMARKS(X)
#undef X
        return true;
    default:
        return false;
    }
}

bool record_fact(const struct core_record *record, enum core_fact fact, int64_t *out)
{
    for (int i = 0; i < FACTS_OF_RECORD; i++)
        if (kinds[record->kind].facts[i] == fact) {
            *out = record->facts[i];
            return true;
        }
    return false;
}

const char *record_fact_name(enum core_fact fact)
{
    mf_assert(fact < CORE_FACT_KIND_COUNT);
    return fact_names[fact].data;
}

const char *record_fact_word(enum core_fact fact, int64_t value)
{
    const struct words *words = &fact_words[fact];
    return value >= 0 && value < words->count ? words->names[value].data : NULL;
}

/* --- writing: by hand, because this is the inner loop of every turn --- */

static char *put(char *to, struct mf_span text)
{
    memcpy(to, text.data, text.length);
    return to + text.length;
}

static char *put_number(char *to, int64_t number)
{
    char digits[20];
    size_t count = 0;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        *to++ = '-';
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

static char *put_value(char *to, enum core_fact fact, int64_t value)
{
    const struct words *words = &fact_words[fact];
    if (words->count == 0)
        return put_number(to, value);
    if (value < 0 || value >= words->count)
        return NULL;
    *to++ = '"';
    to = put(to, words->names[value]);
    *to++ = '"';
    return to;
}

int record_encode(const struct core_record *record, struct mf_span extra, char out[RECORD_FACTS_BYTES_MAX], size_t *length,
                  struct mf_error *error)
{
    mf_assert(record->kind < CORE_RECORD_COUNT);
    const struct kind *kind = &kinds[record->kind];
    if (extra.length > RECORD_EXTRA_BYTES_MAX)
        return mf_fail(error, MF_LIMIT, "record %llu (%s): %zu bytes of facts, at most %d", (unsigned long long)record->seq,
                       kind->name.data, extra.length, RECORD_EXTRA_BYTES_MAX);
    char *to = out;
    *to++ = '{';
    for (int i = 0; i < FACTS_OF_RECORD && kind->facts[i] != CORE_FACT_NONE; i++) {
        if (i > 0)
            *to++ = ',';
        *to++ = '"';
        to = put(to, fact_names[kind->facts[i]]);
        *to++ = '"';
        *to++ = ':';
        to = put_value(to, kind->facts[i], record->facts[i]);
        if (to == NULL)
            return mf_fail(error, MF_INTERNAL, "record %llu (%s): fact %s has no name", (unsigned long long)record->seq,
                           kind->name.data, fact_names[kind->facts[i]].data);
    }
    if (extra.length > 0) {
        if (to > out + 1)
            *to++ = ',';
        to = put(to, extra);
    }
    *to++ = '}';
    *length = (size_t)(to - out);
    return 0;
}

/* --- reading --- */

static bool take(struct mf_span *rest, struct mf_span expected)
{
    if (rest->length < expected.length || memcmp(rest->data, expected.data, expected.length) != 0)
        return false;
    rest->data += expected.length;
    rest->length -= expected.length;
    return true;
}

static bool take_number(struct mf_span *rest, int64_t *out)
{
    size_t length = rest->length > 0 && rest->data[0] == '-' ? 1 : 0;
    while (length < rest->length && rest->data[length] >= '0' && rest->data[length] <= '9')
        length++;
    if (mf_parse_i64((struct mf_span){rest->data, length}, out) != 0)
        return false;
    rest->data += length;
    rest->length -= length;
    return true;
}

static bool take_word(struct mf_span *rest, const struct words *words, int64_t *out)
{
    if (!take(rest, MF_SPAN("\"")))
        return false;
    const char *end = memchr(rest->data, '"', rest->length);
    struct mf_span word = {rest->data, end != NULL ? (size_t)(end - rest->data) : 0};
    for (int64_t i = 0; end != NULL && i < words->count; i++)
        if (mf_span_equal(words->names[i], word)) {
            *out = i;
            rest->data += word.length + 1;
            rest->length -= word.length + 1;
            return true;
        }
    return false;
}

static bool take_fact(struct mf_span *rest, enum core_fact fact, int64_t *out)
{
    const struct words *words = &fact_words[fact];
    return take(rest, MF_SPAN("\"")) && take(rest, fact_names[fact]) && take(rest, MF_SPAN("\":")) &&
           (words->count > 0 ? take_word(rest, words, out) : take_number(rest, out));
}

static int find_kind(struct mf_span name, enum core_record_kind *out)
{
    for (int kind = 0; kind < CORE_RECORD_COUNT; kind++)
        if (mf_span_equal(kinds[kind].name, name)) {
            *out = (enum core_record_kind)kind;
            return 0;
        }
    return -1;
}

static bool subject_fits(const struct core_record *record)
{
    enum core_subject subject = kinds[record->kind].subject;
    return (record->node != CORE_NONE) == (subject == CORE_SUBJECT_TASK) &&
           (record->account != CORE_NONE) == (subject == CORE_SUBJECT_ACCOUNT);
}

static int fail(const struct core_record *record, struct mf_span kind, const char *why, struct mf_error *error)
{
    return mf_fail(error, MF_STATE, "journal: record %llu (%.*s): %s: is it damaged, or of a newer mayfly?", (unsigned long long)record->seq,
                   kind.length < 40 ? (int)kind.length : 40, kind.data, why);
}

int record_decode(struct core_record *record, struct mf_span kind, struct mf_span facts, struct mf_span *extra, struct mf_error *error)
{
    if (find_kind(kind, &record->kind) != 0)
        return fail(record, mf_utf8_valid(kind.data, kind.length) ? kind : MF_SPAN("?"), "unknown kind", error);
    if (!subject_fits(record))
        return fail(record, kind, "names the wrong subject", error);
    const struct kind *form = &kinds[record->kind];
    struct mf_span rest = facts;
    if (!take(&rest, MF_SPAN("{")) || rest.length == 0 || rest.data[rest.length - 1] != '}')
        return fail(record, kind, "facts are no object", error);
    rest.length--; /* the closing brace: what is left of `rest` are members */
    memset(record->facts, 0, sizeof record->facts);
    bool first = true;
    for (int i = 0; i < FACTS_OF_RECORD && form->facts[i] != CORE_FACT_NONE; i++, first = false)
        if ((!first && !take(&rest, MF_SPAN(","))) || !take_fact(&rest, form->facts[i], &record->facts[i]))
            return fail(record, kind, fact_names[form->facts[i]].data, error);
    if (rest.length > 0 && !first && !take(&rest, MF_SPAN(",")))
        return fail(record, kind, "facts are no object", error);
    *extra = rest;
    return 0;
}
