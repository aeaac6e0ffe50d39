/* json_scan.c - any bytes into the scanner; what it takes must walk, write and scan again to the same */
#include "base/alloc.h"
#include "json/scan.h"
#include "json/write.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Every node is reached by its pointer, every string survives being decoded and written. */
static void check_node(const struct json_document *document, uint32_t node)
{
    struct mf_buf text;
    struct mf_buf written;
    struct json_document again;
    mf_buf_init(&text, 1u << 20);
    mf_buf_init(&written, 8u << 20);
    if (json_kind(document, node) == JSON_STRING) {
        require(json_text(document, node, &text) == 0);
        require(json_escape(&written, mf_buf_view(&text)) == 0);
        require(json_scan(&again, mf_buf_view(&written), &json_limits_default, NULL) == 0);
        require(json_is(&again, 0, mf_buf_cstr(&text)) && json_is(document, node, mf_buf_cstr(&text)));
        require(json_text_hash(&again, 0, 1) == json_text_hash(document, node, 1));
        json_document_free(&again);
    }
    mf_buf_clear(&text);
    require(json_pointer_of(document, node, &text) == 0);
    uint32_t found = json_pointer(document, mf_buf_view(&text));
    require(found == node || found == node + 1); /* a key has the pointer of its value */
    mf_buf_free(&text);
    mf_buf_free(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_limits limits = json_limits_default;
    struct json_document document;
    struct json_failure failure;
    limits.comments = size > 0 && data[size - 1] == '/';
    char *text = mf_strndup((const char *)data, size);
    if (json_scan(&document, (struct mf_span){text, size}, &limits, &failure) == 0) {
        require(document.nodes[0].end == document.count);
        for (uint32_t node = 0; node < document.count && node < 2000; node++)
            check_node(&document, node);
        json_document_free(&document);
    } else {
        require(failure.offset <= size && failure.reason[0] != '\0');
    }
    mf_free(text);
    return 0;
}
