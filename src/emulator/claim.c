/*
 * claim.c - the claim page of a temporary account: a form that makes the account permanent
 *
 * The token of the URL is the only credential. Claiming uses it up; the account loses its end, and the token that the agent
 * had dies. The page holds nothing but the account's name and the form.
 */
#include "emulator/emulator_private.h"

#include "http1/path.h"

#include <stdio.h>

static const char page_head[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Claim account</title>"
    "<meta name=\"referrer\" content=\"no-referrer\"></head><body>";

static void put_page(struct emu_call *call, int status, const char *format, const char *name)
{
    emu_raw(call, status, "text/html; charset=utf-8", MF_SPAN(page_head));
    mf_buf_printf(&call->out, "<h1>%s</h1><p>%s</p>", status == 200 ? "Claim account" : "This link is not valid", format);
    if (name != NULL)
        mf_buf_printf(&call->out, "<p>Account: <b>%s</b></p>", name); /* names of temporary accounts are ours: no markup in them */
    emu_answer_header(call, "cache-control", "no-store");
    emu_answer_header(call, "referrer-policy", "no-referrer");
    emu_answer_header(call, "content-security-policy", "default-src 'none'; form-action 'self'");
}

static struct emu_account *find_claim(struct emu_call *call)
{
    struct mf_span token;
    uint8_t hash[EMU_HASH_BYTES];
    if (!emu_query(call, "claimToken", &token))
        return NULL;
    emu_sha256(call->state->identity, token, hash);
    struct emu_account *account = emu_table_get(&call->state->account_by_claim, (struct mf_span){(const char *)hash, sizeof(hash)});
    return account != NULL && account->claimable && account->claim_expires_ms > call->now_ms ? account : NULL;
}

void emu_claim_page(struct emu_call *call)
{
    struct emu_account *account = find_claim(call);
    if (account == NULL) {
        put_page(call, 404, "It was used before, has expired, or never was.", NULL);
    } else if (mf_span_is(call->request->method, "POST")) {
        for (size_t each = 0; each < account->token_count; each++)
            if (account->tokens[each]->temporary)
                emu_record(call, EMU_LEDGER_REVOKE, "token", account->tokens[each]->id, account->id);
        emu_account_claim(call->state, account);
        put_page(call, 200, "The account is yours. The agent's token no longer works.", account->name);
    } else {
        put_page(call, 200, "Whoever claims this account owns it and all that is in it.", account->name);
        mf_buf_text(&call->out, "<form method=\"post\"><button type=\"submit\">Claim</button></form>");
    }
    mf_buf_text(&call->out, "</body></html>\n");
}
