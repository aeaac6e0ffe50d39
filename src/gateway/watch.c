/*
 * watch.c - what looks wrong: the names, what was told already, and the signal that siblings give
 *
 * The gateway asks at every refusal and at every first use of a rule; it tells what is new. Nothing here can fail: without
 * memory a peer gives no signal, and an anomaly that may have been told is told again.
 */
#include "gateway/watch.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <openssl/evp.h>
#include <string.h>

static const struct {
    const char *name, *text;
    bool violation;
} kinds[] = {
#define VIOLATION true
#define INFORM false
#define X(kind, name, effect, text) {name, text, effect},
    WATCH_KINDS(X)
#undef X
#undef INFORM
#undef VIOLATION
};

const char *watch_name(enum watch_kind kind)
{
    return kinds[kind].name;
}

const char *watch_text(enum watch_kind kind)
{
    return kinds[kind].text;
}

bool watch_is_violation(enum watch_kind kind)
{
    return kinds[kind].violation;
}

/* --- a set of fingerprints --- */

/* Of a hash that an agent cannot steer: what it did once must not hide what it does next. */
struct fingerprint {
    uint64_t high, low; /* both 0: free */
};

struct set {
    struct fingerprint *slots; /* owned; at most half full */
    size_t capacity;
    uint32_t count;
};

static bool same(struct fingerprint left, struct fingerprint right)
{
    return left.high == right.high && left.low == right.low;
}

/* The slot that holds it, or the free one where it belongs. */
static struct fingerprint *set_slot(struct fingerprint *slots, size_t capacity, struct fingerprint wanted)
{
    size_t at = wanted.low & (capacity - 1);
    while ((slots[at].high | slots[at].low) != 0 && !same(slots[at], wanted))
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static int set_enlarge(struct set *set)
{
    size_t capacity = set->capacity > 0 ? 2 * set->capacity : 64;
    struct fingerprint *slots = mf_calloc(capacity, sizeof *slots);
    if (slots == NULL)
        return -1;
    for (size_t i = 0; i < set->capacity; i++) {
        if ((set->slots[i].high | set->slots[i].low) != 0)
            *set_slot(slots, capacity, set->slots[i]) = set->slots[i];
    }
    mf_free(set->slots);
    set->slots = slots;
    set->capacity = capacity;
    return 0;
}

enum added { ADDED, WAS_THERE, NO_ROOM };

static enum added set_add(struct set *set, struct fingerprint wanted, uint32_t count_max)
{
    if (set->capacity > 0 && same(*set_slot(set->slots, set->capacity, wanted), wanted))
        return WAS_THERE;
    if (set->count == count_max || (2 * (size_t)(set->count + 1) > set->capacity && set_enlarge(set) != 0))
        return NO_ROOM;
    *set_slot(set->slots, set->capacity, wanted) = wanted;
    set->count++;
    return ADDED;
}

/* --- what siblings did --- */

struct instance {
    uint64_t key; /* hash of its name; 0: free */
    uint32_t requests;
    bool ended;
};

struct deed { /* one thing that was done in a fan-out */
    char what[WATCH_WHAT_BYTES_MAX];
    char task[WATCH_TASK_BYTES_MAX]; /* who did it first */
    uint64_t key;
    uint32_t request; /* its how manieth one that was; UINT32_MAX: not known */
    bool shared;      /* a sibling did it too */
    bool told;
};

struct family { /* one fan-out */
    char name[WATCH_TASK_BYTES_MAX];
    struct deed *deeds; /* owned */
    size_t deed_capacity;
    uint32_t deed_count;
    struct instance *instances; /* owned; hash table, at most half full */
    size_t instance_capacity;
    uint32_t instance_count;
};

struct watch {
    struct family *families; /* owned */
    size_t family_capacity;
    uint32_t family_count;
    EVP_MD *sha256;     /* owned */
    EVP_MD_CTX *digest; /* owned */
    struct set told, told_of_task;
    bool told_kind[WATCH_KIND_COUNT];
    uint64_t counts[WATCH_KIND_COUNT];
};

int watch_create(struct watch **out)
{
    struct watch *watch = mf_calloc(1, sizeof *watch);
    *out = watch;
    if (watch == NULL)
        return -1;
    watch->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    watch->digest = EVP_MD_CTX_new();
    if (watch->sha256 != NULL && watch->digest != NULL)
        return 0;
    watch_destroy(watch);
    *out = NULL;
    return -1;
}

void watch_destroy(struct watch *watch)
{
    if (watch == NULL)
        return;
    for (uint32_t i = 0; i < watch->family_count; i++) {
        mf_free(watch->families[i].deeds);
        mf_free(watch->families[i].instances);
    }
    mf_free(watch->families);
    mf_free(watch->told.slots);
    mf_free(watch->told_of_task.slots);
    EVP_MD_CTX_free(watch->digest);
    EVP_MD_free(watch->sha256);
    mf_free(watch);
}

/* The family of "name/key"; NULL: a task of its own, or no room. */
static struct family *family_of(struct watch *watch, struct mf_span task)
{
    const char *slash = task.length > 0 ? memchr(task.data, '/', task.length) : NULL;
    void *families = watch->families;
    if (slash == NULL || task.length >= WATCH_TASK_BYTES_MAX)
        return NULL;
    struct mf_span name = {task.data, (size_t)(slash - task.data)};
    for (uint32_t i = 0; i < watch->family_count; i++) {
        if (mf_span_is(name, watch->families[i].name))
            return &watch->families[i];
    }
    if (watch->family_count == WATCH_TEMPLATES_MAX ||
        mf_grow(&families, &watch->family_capacity, watch->family_count + 1, sizeof(struct family), 4) != 0)
        return NULL;
    watch->families = families;
    struct family *made = &watch->families[watch->family_count++];
    *made = (struct family){.deed_count = 0};
    (void)mf_span_copy(name, made->name, sizeof made->name); /* it is shorter than the task */
    return made;
}

static struct instance *instance_slot(struct instance *table, size_t capacity, uint64_t key)
{
    size_t at = key & (capacity - 1);
    while (table[at].key != 0 && table[at].key != key)
        at = (at + 1) & (capacity - 1);
    return &table[at];
}

static int enlarge_instances(struct family *family)
{
    size_t capacity = family->instance_capacity > 0 ? 2 * family->instance_capacity : 16;
    struct instance *table = mf_calloc(capacity, sizeof *table);
    if (table == NULL)
        return -1;
    for (size_t i = 0; i < family->instance_capacity; i++) {
        if (family->instances[i].key != 0)
            *instance_slot(table, capacity, family->instances[i].key) = family->instances[i];
    }
    mf_free(family->instances);
    family->instances = table;
    family->instance_capacity = capacity;
    return 0;
}

static uint64_t key_of(struct mf_span task)
{
    uint64_t key = mf_hash(task.data, task.length, 1);
    return key != 0 ? key : 1;
}

/* NULL: no room. */
static struct instance *instance_of(struct family *family, uint64_t key)
{
    if (family->instance_capacity > 0) {
        struct instance *found = instance_slot(family->instances, family->instance_capacity, key);
        if (found->key == key)
            return found;
    }
    if (family->instance_count == WATCH_INSTANCES_MAX ||
        (2 * (size_t)(family->instance_count + 1) > family->instance_capacity && enlarge_instances(family) != 0))
        return NULL;
    struct instance *made = instance_slot(family->instances, family->instance_capacity, key);
    *made = (struct instance){.key = key};
    family->instance_count++;
    return made;
}

static struct mf_span cut_what(struct mf_span what)
{
    if (what.length >= WATCH_WHAT_BYTES_MAX)
        what.length = WATCH_WHAT_BYTES_MAX - 1;
    return what;
}

static struct deed *find_deed(struct family *family, struct mf_span what)
{
    for (uint32_t i = 0; i < family->deed_count; i++) {
        if (mf_span_is(what, family->deeds[i].what))
            return &family->deeds[i];
    }
    return NULL;
}

static struct deed *add_deed(struct family *family, struct mf_span what, struct mf_span task, uint32_t request)
{
    void *deeds = family->deeds;
    if (family->deed_count == WATCH_RULES_MAX ||
        mf_grow(&deeds, &family->deed_capacity, family->deed_count + 1, sizeof(struct deed), 8) != 0)
        return NULL;
    family->deeds = deeds;
    struct deed *made = &family->deeds[family->deed_count];
    *made = (struct deed){.key = key_of(task), .request = request};
    if (mf_span_copy(what, made->what, sizeof made->what) != 0 ||
        mf_span_copy(task, made->task, sizeof made->task) != 0)
        return NULL;
    family->deed_count++;
    return made;
}

/* Did enough siblings have their chance to do it, too? */
static bool stands_alone(const struct family *family, const struct deed *deed)
{
    uint32_t had_chance = 0;
    for (size_t i = 0; i < family->instance_capacity && had_chance < WATCH_PEERS_MIN; i++) {
        const struct instance *sibling = &family->instances[i];
        had_chance +=
            sibling->key != 0 && sibling->key != deed->key && (sibling->ended || sibling->requests >= deed->request);
    }
    return had_chance == WATCH_PEERS_MIN;
}

static bool must_tell(const struct family *family, struct deed *deed)
{
    if (deed->shared || deed->told || !stands_alone(family, deed))
        return false;
    deed->told = true;
    return true;
}

bool watch_peer(struct watch *watch, struct mf_span task, struct mf_span what)
{
    struct family *family = family_of(watch, task);
    if (family == NULL)
        return false;
    uint64_t key = key_of(task);
    struct instance *instance = instance_of(family, key);
    if (instance != NULL)
        instance->requests += instance->requests < UINT32_MAX - 1;
    what = cut_what(what);
    struct deed *deed = find_deed(family, what);
    if (deed == NULL)
        deed = add_deed(family, what, task, instance != NULL ? instance->requests : UINT32_MAX);
    else if (deed->key != key)
        deed->shared = true;
    return deed != NULL && must_tell(family, deed);
}

bool watch_peer_ended(struct watch *watch, struct mf_span task, char *task_out, uint32_t task_bytes, char *what_out,
                      uint32_t what_bytes)
{
    struct family *family = family_of(watch, task);
    if (family == NULL)
        return false;
    struct instance *instance = instance_of(family, key_of(task));
    if (instance != NULL)
        instance->ended = true;
    for (uint32_t i = 0; i < family->deed_count; i++) {
        struct deed *deed = &family->deeds[i];
        if (!must_tell(family, deed))
            continue;
        mf_format(task_out, task_bytes, "%s", deed->task);
        mf_format(what_out, what_bytes, "%s", deed->what);
        return true;
    }
    return false;
}

/* --- what was told --- */

static bool hash_part(EVP_MD_CTX *digest, struct mf_span part)
{
    uint64_t length = part.length; /* in front, so that two parts are never read as two others */
    return EVP_DigestUpdate(digest, &length, sizeof length) == 1 &&
           EVP_DigestUpdate(digest, part.data, part.length) == 1;
}

/* False without memory. */
static bool fingerprint_of(const struct watch *watch, enum watch_kind kind, struct mf_span task, struct mf_span detail,
                           struct fingerprint *out)
{
    uint8_t digest[32];
    uint32_t number = (uint32_t)kind;
    if (EVP_DigestInit_ex2(watch->digest, watch->sha256, NULL) != 1 ||
        EVP_DigestUpdate(watch->digest, &number, sizeof number) != 1 || !hash_part(watch->digest, task) ||
        !hash_part(watch->digest, detail) || EVP_DigestFinal_ex(watch->digest, digest, NULL) != 1)
        return false;
    memcpy(out, digest, sizeof *out);
    return true;
}

bool watch_first(struct watch *watch, enum watch_kind kind, struct mf_span task, struct mf_span detail)
{
    struct fingerprint mark;
    mf_assert(kind < WATCH_KIND_COUNT);
    watch->counts[kind]++;
    if (!fingerprint_of(watch, kind, task, detail, &mark))
        return true;
    enum added added = set_add(&watch->told, mark, WATCH_FIRST_MAX);
    if (added == NO_ROOM && fingerprint_of(watch, kind, task, MF_SPAN(""), &mark))
        added = set_add(&watch->told_of_task, mark, WATCH_FIRST_MAX);
    if (added != NO_ROOM)
        return added == ADDED;
    bool first = !watch->told_kind[kind];
    watch->told_kind[kind] = true;
    return first;
}

uint64_t watch_count(const struct watch *watch, enum watch_kind kind)
{
    return watch->counts[kind];
}
