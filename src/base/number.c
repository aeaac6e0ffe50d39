/* number.c - numbers, durations, sizes and dates from text and back */
#include "base/str.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS_PER_S INT64_C(1000)
#define MS_PER_MINUTE (60 * MS_PER_S)
#define MS_PER_HOUR (60 * MS_PER_MINUTE)
#define MS_PER_DAY (24 * MS_PER_HOUR)

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

/* Reads the digits at *at and moves behind them; -1 when there is none or the number does not fit. */
static int take_digits(struct mf_span text, size_t *at, uint64_t *out)
{
    uint64_t number = 0;
    size_t first = *at;
    for (; *at < text.length && is_digit(text.data[*at]); (*at)++) {
        if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.data[*at] - '0'), &number))
            return -1;
    }
    *out = number;
    return *at > first ? 0 : -1;
}

int mf_parse_u64(struct mf_span text, uint64_t *out)
{
    size_t at = 0;
    uint64_t number;
    if (take_digits(text, &at, &number) != 0 || at != text.length || (text.length > 1 && text.data[0] == '0'))
        return -1;
    *out = number;
    return 0;
}

int mf_parse_i64(struct mf_span text, int64_t *out)
{
    bool negative = text.length > 0 && text.data[0] == '-';
    uint64_t number;
    if (negative)
        text = (struct mf_span){text.data + 1, text.length - 1};
    if (mf_parse_u64(text, &number) != 0 || number > (uint64_t)INT64_MAX + negative || (negative && number == 0))
        return -1;
    *out = negative ? (int64_t)(0 - number) : (int64_t)number;
    return 0;
}

/* Longest number that is read: more digits than any double has, which is 1,077 for the smallest. */
#define NUMBER_BYTES_MAX 1200

/* The decimal point of strtod depends on the locale, so the C locale is asked for by name: glibc hands out a constant.
 */
int mf_parse_double(struct mf_span text, double *out)
{
    char copy[NUMBER_BYTES_MAX];
    char *end;
    if (text.length == 0 || strchr("-0123456789", text.data[0]) == NULL || mf_span_copy(text, copy, sizeof copy) != 0 ||
        copy[strspn(copy, "+-.0123456789Ee")] != '\0') /* strtod also knows hexadecimal, infinity and nan */
        return -1;
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0)
        return -1;
    double number = strtod_l(copy, &end, plain);
    freelocale(plain);
    if (*end != '\0' || !isfinite(number))
        return -1;
    *out = number;
    return 0;
}

/* Between the digits stands whatever the locale calls a decimal point: it becomes a full stop. */
static void put_full_stop(char *text)
{
    static const char others[] = "0123456789+-e";
    char *point = text + strspn(text, others);
    size_t length = strcspn(point, others);
    if (length == 0)
        return;
    *point = '.';
    memmove(point + 1, point + length, strlen(point + length) + 1);
}

char *mf_format_double(double number, char *out)
{
    for (int digits = 15; digits <= 17; digits++) { /* 15 digits always survive, 17 always suffice */
        snprintf(out, 32, "%.*g", digits, number);
        double back = strtod(out, NULL);
        if (memcmp(&back, &number, sizeof back) == 0)
            break;
    }
    put_full_stop(out);
    return out;
}

void mf_format_list(char *out, size_t out_bytes, const char *format, va_list arguments)
{
    if (vsnprintf(out, out_bytes, format, arguments) < 0 && out_bytes > 0)
        out[0] = '\0';
}

void mf_format(char *out, size_t out_bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    mf_format_list(out, out_bytes, format, arguments);
    va_end(arguments);
}

static const struct unit {
    const char *name;
    int64_t ms;
} duration_units[] = {
    {"d", MS_PER_DAY}, {"h", MS_PER_HOUR}, {"ms", 1}, {"m", MS_PER_MINUTE}, {"s", MS_PER_S},
};

static const struct unit *unit_at(struct mf_span text, size_t at)
{
    struct mf_span rest = {text.data + at, text.length - at};
    for (size_t i = 0; i < sizeof duration_units / sizeof duration_units[0]; i++) {
        if (mf_span_starts(rest, duration_units[i].name))
            return &duration_units[i];
    }
    return NULL;
}

int mf_parse_duration_ms(struct mf_span text, int64_t *out_ms)
{
    int64_t total = 0;
    int64_t last_ms = INT64_MAX; /* units go down: "30m1h" is a slip of the pen */
    size_t at = 0;
    do {
        uint64_t number;
        int64_t part;
        size_t first = at;
        if (take_digits(text, &at, &number) != 0)
            return -1;
        const struct unit *unit = unit_at(text, at);
        int64_t unit_ms = unit != NULL ? unit->ms : MS_PER_S;
        if (unit == NULL && (first != 0 || at != text.length)) /* only a bare number goes without */
            return -1;
        if (unit_ms >= last_ms || number > INT64_MAX || __builtin_mul_overflow((int64_t)number, unit_ms, &part) ||
            __builtin_add_overflow(total, part, &total))
            return -1;
        last_ms = unit_ms;
        at += unit != NULL ? strlen(unit->name) : 0;
    } while (at < text.length);
    *out_ms = total;
    return 0;
}

int mf_parse_bytes(struct mf_span text, uint64_t *out)
{
    static const char prefixes[] = "KMGT";
    uint64_t number;
    size_t at = 0;
    if (take_digits(text, &at, &number) != 0 || (at > 1 && text.data[0] == '0'))
        return -1;
    struct mf_span unit = {text.data + at, text.length - at};
    const char *prefix = unit.length > 0 ? memchr(prefixes, unit.data[0], sizeof prefixes - 1) : NULL;
    if (prefix != NULL) {
        unit = (struct mf_span){unit.data + 1, unit.length - 1};
        if (__builtin_mul_overflow(number, UINT64_C(1) << (10 * (prefix - prefixes + 1)), &number))
            return -1;
    }
    if (unit.length > 0 && !mf_span_is(unit, "B") && !(prefix != NULL && mf_span_is(unit, "iB")))
        return -1;
    *out = number;
    return 0;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first of January of a year from 0 on. */
static int64_t days_before_year(int64_t year)
{
    int64_t past = year - 1;
    int64_t leaps = year > 0 ? past / 4 - past / 100 + past / 400 + 1 : 0; /* the year 0 is a leap year */
    return year * 365 + leaps - 719528;
}

struct civil {
    int64_t year, month, day, hour, minute, second, millisecond;
};

static int civil_to_ms(const struct civil *civil, int64_t *out_ms)
{
    if (civil->month < 1 || civil->month > 12 || civil->day < 1 ||
        civil->day > days_in_month(civil->year, civil->month) || civil->hour > 23 || civil->minute > 59 ||
        civil->second > 60) /* 60: a leap second */
        return -1;
    int64_t days = days_before_year(civil->year) + civil->day - 1;
    for (int64_t month = 1; month < civil->month; month++)
        days += days_in_month(civil->year, month);
    *out_ms = days * MS_PER_DAY + civil->hour * MS_PER_HOUR + civil->minute * MS_PER_MINUTE + civil->second * MS_PER_S +
              civil->millisecond;
    return 0;
}

/* Reads exactly `count` digits at *at. */
static int take_fixed(struct mf_span text, size_t *at, size_t count, int64_t *out)
{
    if (text.length - *at < count)
        return -1;
    *out = 0;
    for (size_t end = *at + count; *at < end; (*at)++) {
        if (!is_digit(text.data[*at]))
            return -1;
        *out = *out * 10 + (text.data[*at] - '0');
    }
    return 0;
}

static int take_char(struct mf_span text, size_t *at, const char *allowed)
{
    if (*at >= text.length || text.data[*at] == '\0' || strchr(allowed, text.data[*at]) == NULL)
        return -1;
    (*at)++;
    return 0;
}

static int take_time(struct mf_span text, size_t *at, struct civil *civil)
{
    if (take_fixed(text, at, 2, &civil->hour) != 0 || take_char(text, at, ":") != 0 ||
        take_fixed(text, at, 2, &civil->minute) != 0 || take_char(text, at, ":") != 0)
        return -1;
    return take_fixed(text, at, 2, &civil->second);
}

static int take_date(struct mf_span text, size_t *at, struct civil *civil)
{
    if (take_fixed(text, at, 4, &civil->year) != 0 || take_char(text, at, "-") != 0 ||
        take_fixed(text, at, 2, &civil->month) != 0 || take_char(text, at, "-") != 0)
        return -1;
    return take_fixed(text, at, 2, &civil->day);
}

/* ".123456": what is finer than a millisecond is cut off. */
static int take_fraction(struct mf_span text, size_t *at, int64_t *out_ms)
{
    *out_ms = 0;
    if (take_char(text, at, ".") != 0)
        return 0;
    size_t first = *at;
    int64_t weight = 100;
    for (; *at < text.length && is_digit(text.data[*at]); (*at)++, weight /= 10)
        *out_ms += weight * (text.data[*at] - '0');
    return *at > first ? 0 : -1;
}

static int take_offset(struct mf_span text, size_t *at, int64_t *out_ms)
{
    *out_ms = 0;
    if (take_char(text, at, "Zz") == 0)
        return 0;
    int64_t hours, minutes;
    bool west = *at < text.length && text.data[*at] == '-';
    if (take_char(text, at, "+-") != 0 || take_fixed(text, at, 2, &hours) != 0 || take_char(text, at, ":") != 0 ||
        take_fixed(text, at, 2, &minutes) != 0 || hours > 23 || minutes > 59)
        return -1;
    *out_ms = (hours * MS_PER_HOUR + minutes * MS_PER_MINUTE) * (west ? -1 : 1);
    return 0;
}

int mf_parse_rfc3339_ms(struct mf_span text, int64_t *out_ms)
{
    struct civil civil = {0};
    int64_t offset_ms;
    int64_t local_ms;
    size_t at = 0;
    if (take_date(text, &at, &civil) != 0 || take_char(text, &at, "Tt") != 0 || take_time(text, &at, &civil) != 0 ||
        take_fraction(text, &at, &civil.millisecond) != 0 || take_offset(text, &at, &offset_ms) != 0 ||
        at != text.length || civil_to_ms(&civil, &local_ms) != 0)
        return -1;
    *out_ms = local_ms - offset_ms;
    return 0;
}

/* Index of the three-letter name at *at in a list of such names. */
static int take_name(struct mf_span text, size_t *at, const char *names, int64_t *out)
{
    for (size_t i = 0; names[i] != '\0'; i += 3) {
        if (text.length - *at >= 3 && memcmp(text.data + *at, names + i, 3) == 0) {
            *at += 3;
            *out = (int64_t)(i / 3);
            return 0;
        }
    }
    return -1;
}

int mf_parse_http_date_ms(struct mf_span text, int64_t *out_ms)
{
    struct civil civil = {0};
    int64_t weekday;
    size_t at = 0;
    if (take_name(text, &at, "MonTueWedThuFriSatSun", &weekday) != 0 || take_char(text, &at, ",") != 0 ||
        take_char(text, &at, " ") != 0 || take_fixed(text, &at, 2, &civil.day) != 0 || take_char(text, &at, " ") != 0 ||
        take_name(text, &at, "JanFebMarAprMayJunJulAugSepOctNovDec", &civil.month) != 0 ||
        take_char(text, &at, " ") != 0 || take_fixed(text, &at, 4, &civil.year) != 0 ||
        take_char(text, &at, " ") != 0 || take_time(text, &at, &civil) != 0)
        return -1;
    civil.month++;
    struct mf_span rest = {text.data + at, text.length - at};
    return mf_span_is(rest, " GMT") ? civil_to_ms(&civil, out_ms) : -1;
}

/* Splits days since the epoch, from the year 0 to 9999, into a date. */
static void civil_of_days(int64_t days, struct civil *civil)
{
    civil->year = days >= 0 ? 1970 + days / 366 : 0;
    while (days_before_year(civil->year + 1) <= days)
        civil->year++;
    days -= days_before_year(civil->year);
    for (civil->month = 1; days >= days_in_month(civil->year, civil->month); civil->month++)
        days -= days_in_month(civil->year, civil->month);
    civil->day = days + 1;
}

char *mf_format_rfc3339(int64_t at_ms, char *out)
{
    const int64_t first_ms = days_before_year(0) * MS_PER_DAY;
    const int64_t last_ms = days_before_year(10000) * MS_PER_DAY - 1;
    at_ms = at_ms < first_ms ? first_ms : at_ms > last_ms ? last_ms : at_ms; /* the format has four digits */
    int64_t rest = at_ms % MS_PER_DAY;
    rest += rest < 0 ? MS_PER_DAY : 0;
    struct civil civil;
    civil_of_days((at_ms - rest) / MS_PER_DAY, &civil);
    int used = snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02d", (int)civil.year, (int)civil.month, (int)civil.day,
                        (int)(rest / MS_PER_HOUR), (int)(rest / MS_PER_MINUTE % 60), (int)(rest / MS_PER_S % 60));
    if (rest % MS_PER_S != 0)
        used += snprintf(out + used, 32 - (size_t)used, ".%03d", (int)(rest % MS_PER_S));
    snprintf(out + used, 32 - (size_t)used, "Z");
    return out;
}

char *mf_format_duration(int64_t duration_ms, char *out)
{
    const int64_t longest_ms = INT64_C(9999999) * MS_PER_DAY; /* keeps the text within its 15 bytes */
    const char *sign = duration_ms < 0 ? "-" : "";
    int64_t ms = duration_ms < -longest_ms || duration_ms > longest_ms ? longest_ms
                 : duration_ms < 0                                     ? -duration_ms
                                                                       : duration_ms;
    if (ms < MS_PER_S)
        snprintf(out, 16, "%s%dms", sign, (int)ms);
    else if (ms < MS_PER_MINUTE)
        snprintf(out, 16, "%s%d.%ds", sign, (int)(ms / MS_PER_S), (int)(ms % MS_PER_S / 100));
    else if (ms < MS_PER_HOUR)
        snprintf(out, 16, "%s%dm%02ds", sign, (int)(ms / MS_PER_MINUTE), (int)(ms / MS_PER_S % 60));
    else if (ms < MS_PER_DAY)
        snprintf(out, 16, "%s%dh%02dm", sign, (int)(ms / MS_PER_HOUR), (int)(ms / MS_PER_MINUTE % 60));
    else
        snprintf(out, 16, "%s%dd%02dh", sign, (int)(ms / MS_PER_DAY), (int)(ms / MS_PER_HOUR % 24));
    return out;
}
