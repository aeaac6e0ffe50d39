/* job.c - work for a helper process of the spawner: the message, the dispatch, the words of a failure */
#include "runner/job.h"

#include "json/write.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void message_put_job(struct frame_writer *writer, const struct message_job *message)
{
    frame_put_u64(writer, message->kind);
    frame_put_u64(writer, message->slot);
    frame_put_flag(writer, message->again);
    frame_put_u64(writer, message->subject);
    frame_put_span(writer, message->result);
    frame_put_span(writer, message->payload);
}

int message_take_job(struct mf_span payload, struct message_job *message, struct message_memory *memory)
{
    struct frame_reader reader;
    frame_read(&reader, payload);
    *memory = (struct message_memory){.count = 0};
    message->kind = frame_take_u32(&reader);
    message->slot = frame_take_u32(&reader);
    message->again = frame_take_flag(&reader);
    message->subject = frame_take_u32(&reader);
    message->result = frame_take_span(&reader);
    message->payload = frame_take_span(&reader);
    return frame_read_end(&reader) ? 0 : -1;
}

static void set_reason(struct job_answer *answer, const char *class_name, const char *text)
{
    struct mf_buf shown;
    mf_buf_init(&shown, 8 * JOB_REASON_BYTES_MAX);
    json_escape_shown(&shown, mf_span(text), JOB_REASON_BYTES_MAX - 8);
    answer->done = false;
    answer->class_name = class_name;
    snprintf(answer->reason, sizeof answer->reason, "%s", mf_buf_cstr(&shown));
    mf_buf_free(&shown);
}

int job_fail(struct job_answer *answer, const char *class_name, const char *format, ...)
{
    char text[JOB_REASON_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    set_reason(answer, class_name, text);
    return -1;
}

int job_fail_os(struct job_answer *answer, const char *format, ...)
{
    char text[JOB_REASON_BYTES_MAX];
    int os_errno = errno;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, ": %s", strerror(os_errno));
    set_reason(answer, "infrastructure", text);
    return -1;
}

int job_hand_over(const struct job_place *place, const char *directory, struct job_answer *answer)
{
    if (place->agent_uid == geteuid())
        return 0;
    int fd = openat(place->slot_fd, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : job_fail_os(answer, "workspace: cannot open %s", directory);
    int result = sandbox_hand_over(fd, place->agent_uid, place->agent_gid) == 0
                     ? 0
                     : job_fail_os(answer, "workspace: cannot hand %s over", directory);
    close(fd);
    return result;
}

void job_run(const struct message_job *job, const struct job_place *place, struct job_answer *answer)
{
    static int (*const functions[JOB_KIND_COUNT])(const struct message_job *, const struct job_place *,
                                                  struct job_answer *) = {
        [JOB_WORKSPACE] = job_workspace,
        [JOB_FURNISH] = job_furnish,
        [JOB_COLLECT] = job_collect,
    };
    *answer = (struct job_answer){.done = true, .class_name = ""};
    if (functions[job->kind](job, place, answer) != 0)
        answer->done = false;
}
