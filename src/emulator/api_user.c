/* api_user.c - the operator as a user, and lists that are always empty here */
#include "emulator/emulator_private.h"

#include "emulator/handlers.h"

static void write_user(struct json_writer *writer)
{
    json_open_object(writer);
    json_member_string(writer, "id", "00000000000000000000000000000001");
    json_member_string(writer, "email", "operator@emulator.invalid");
    json_member_string(writer, "username", "operator");
    json_member_bool(writer, "two_factor_authentication_enabled", false);
    json_member_bool(writer, "suspended", false);
    json_close_object(writer);
}

void emu_user_get(struct emu_call *call)
{
    emu_ok_begin(call, 200);
    write_user(&call->writer);
    emu_ok_end(call);
}

static void write_membership(struct json_writer *writer, const struct emu_account *account)
{
    json_open_object(writer);
    json_member_string(writer, "id", account->id);
    json_member_string(writer, "status", "accepted");
    json_key(writer, "account");
    json_open_object(writer);
    json_member_string(writer, "id", account->id);
    json_member_string(writer, "name", account->name);
    json_member_string(writer, "type", "standard");
    json_close_object(writer);
    json_key(writer, "roles");
    json_raw_value(writer, MF_SPAN("[\"Super Administrator - All Privileges\"]"));
    json_close_object(writer);
}

void emu_memberships_list(struct emu_call *call)
{
    struct emu_page page = emu_page(call, 20, 50, call->state->account_count);
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    for (uint64_t each = page.from; each < page.until; each++)
        write_membership(&call->writer, call->state->accounts[each]);
    json_close_array(&call->writer);
    emu_ok_page(call, &page);
}

void emu_empty_list(struct emu_call *call)
{
    struct emu_page page = emu_page(call, 20, 1000, 0);
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    json_close_array(&call->writer);
    emu_ok_page(call, &page);
}
