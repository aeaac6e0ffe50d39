/*
 * emulator/routes.h - the routes: method, path template, access class, handler
 *
 * Order matters only between rows with as many segments: a literal stands before a parameter. {account} and {zone} are
 * resolved before the handler runs; {name...} is all that is left of the path, slashes and all; HEAD is answered as GET.
 */
#ifndef MF_EMULATOR_ROUTES_H
#define MF_EMULATOR_ROUTES_H

#define ACCOUNT_PATH "/accounts/{account}"
#define SCRIPT_PATH ACCOUNT_PATH "/workers/scripts/{script}"
#define KV_PATH ACCOUNT_PATH "/storage/kv/namespaces"
#define D1_PATH ACCOUNT_PATH "/d1/database"
#define QUEUES_PATH ACCOUNT_PATH "/queues"
#define R2_PATH ACCOUNT_PATH "/r2/buckets"
#define ZONE_PATH "/zones/{zone}"

#define EMU_ROUTES(X)                                                                                                       \
    X(POST, "/provisioning/previews/challenge", OPEN, provision_challenge)                                                  \
    X(POST, "/provisioning/previews", OPEN, provision_create)                                                               \
    X(GET, "/user", OPERATOR, user_get)                                                                                     \
    X(GET, "/user/tokens/verify", ANY_TOKEN, user_verify)                                                                   \
    X(GET, "/memberships", OPERATOR, memberships_list)                                                                      \
    X(POST, "/accounts", OPERATOR, accounts_create)                                                                         \
    X(GET, "/accounts", ANY_TOKEN, accounts_list)                                                                           \
    X(GET, ACCOUNT_PATH, ANY_ACCOUNT, accounts_get)                                                                         \
    X(PUT, ACCOUNT_PATH, SETTINGS_WRITE, accounts_put)                                                                      \
    X(DELETE, ACCOUNT_PATH, OPERATOR, accounts_delete)                                                                      \
    X(GET, ACCOUNT_PATH "/tokens/verify", ANY_ACCOUNT, tokens_verify)                                                       \
    X(GET, ACCOUNT_PATH "/tokens/permission_groups", TOKENS_READ, tokens_groups)                                            \
    X(POST, ACCOUNT_PATH "/tokens", TOKENS_WRITE, tokens_create)                                                            \
    X(GET, ACCOUNT_PATH "/tokens", TOKENS_READ, tokens_list)                                                                \
    X(GET, ACCOUNT_PATH "/tokens/{token}", TOKENS_READ, tokens_get)                                                         \
    X(PUT, ACCOUNT_PATH "/tokens/{token}", TOKENS_WRITE, tokens_put)                                                        \
    X(DELETE, ACCOUNT_PATH "/tokens/{token}", TOKENS_WRITE, tokens_delete)                                                  \
    X(PUT, ACCOUNT_PATH "/tokens/{token}/value", TOKENS_WRITE, tokens_roll)                                                 \
    /* Workers */                                                                                                           \
    X(GET, ACCOUNT_PATH "/workers/scripts", SCRIPTS_TAIL, workers_list)                                                     \
    X(GET, SCRIPT_PATH, SCRIPTS_TAIL, workers_content)                                                                      \
    X(PUT, SCRIPT_PATH, SCRIPTS_WRITE, workers_put)                                                                         \
    X(DELETE, SCRIPT_PATH, SCRIPTS_WRITE, workers_delete)                                                                   \
    X(GET, SCRIPT_PATH "/content/v2", SCRIPTS_TAIL, workers_content)                                                        \
    X(GET, SCRIPT_PATH "/content", SCRIPTS_TAIL, workers_content)                                                           \
    X(PUT, SCRIPT_PATH "/content", SCRIPTS_WRITE, workers_put_content)                                                      \
    X(GET, SCRIPT_PATH "/settings", SCRIPTS_TAIL, workers_settings)                                                         \
    X(PATCH, SCRIPT_PATH "/settings", SCRIPTS_WRITE, workers_patch_settings)                                                \
    X(GET, SCRIPT_PATH "/script-settings", SCRIPTS_TAIL, workers_script_settings)                                           \
    X(PATCH, SCRIPT_PATH "/script-settings", SCRIPTS_WRITE, workers_patch_script_settings)                                  \
    X(GET, SCRIPT_PATH "/bindings", SCRIPTS_READ, workers_bindings)                                                         \
    X(GET, SCRIPT_PATH "/versions", SCRIPTS_TAIL, versions_list)                                                            \
    X(POST, SCRIPT_PATH "/versions", SCRIPTS_WRITE, versions_create)                                                        \
    X(GET, SCRIPT_PATH "/versions/{version}", SCRIPTS_TAIL, versions_get)                                                   \
    X(GET, SCRIPT_PATH "/deployments", SCRIPTS_TAIL, deployments_list)                                                      \
    X(POST, SCRIPT_PATH "/deployments", SCRIPTS_WRITE, deployments_create)                                                  \
    X(GET, SCRIPT_PATH "/deployments/{deployment}", SCRIPTS_TAIL, deployments_get)                                          \
    X(GET, SCRIPT_PATH "/secrets", SCRIPTS_READ, secrets_list)                                                              \
    X(PUT, SCRIPT_PATH "/secrets", SCRIPTS_WRITE, secrets_put)                                                              \
    X(PATCH, SCRIPT_PATH "/secrets-bulk", SCRIPTS_WRITE, secrets_bulk)                                                      \
    X(GET, SCRIPT_PATH "/secrets/{secret}", SCRIPTS_READ, secrets_get)                                                      \
    X(DELETE, SCRIPT_PATH "/secrets/{secret}", SCRIPTS_WRITE, secrets_delete)                                               \
    X(GET, SCRIPT_PATH "/subdomain", SCRIPTS_TAIL, workers_subdomain)                                                       \
    X(POST, SCRIPT_PATH "/subdomain", SCRIPTS_WRITE, workers_set_subdomain)                                                 \
    X(DELETE, SCRIPT_PATH "/subdomain", SCRIPTS_WRITE, workers_clear_subdomain)                                             \
    X(GET, SCRIPT_PATH "/schedules", SCRIPTS_READ, workers_schedules)                                                       \
    X(PUT, SCRIPT_PATH "/schedules", SCRIPTS_WRITE, workers_put_schedules)                                                  \
    X(GET, SCRIPT_PATH "/usage-model", SCRIPTS_TAIL, workers_usage_model)                                                   \
    X(PUT, SCRIPT_PATH "/usage-model", SCRIPTS_WRITE, workers_usage_model)                                                  \
    X(POST, SCRIPT_PATH "/tails", TAILS_WRITE, workers_unsupported)                                                         \
    X(POST, SCRIPT_PATH "/assets-upload-session", SCRIPTS_WRITE, assets_session)                                            \
    X(POST, ACCOUNT_PATH "/workers/assets/upload", SESSION, assets_upload)                                                  \
    X(GET, ACCOUNT_PATH "/workers/services/{script}", SCRIPTS_READ, services_get)                                           \
    X(DELETE, ACCOUNT_PATH "/workers/services/{script}", SCRIPTS_WRITE, services_delete)                                    \
    X(GET, ACCOUNT_PATH "/workers/services/{script}/environments/{environment}", SCRIPTS_READ, services_get)                \
    X(GET, ACCOUNT_PATH "/workers/services/{script}/environments/{environment}/settings", SCRIPTS_READ, workers_settings)   \
    X(GET, ACCOUNT_PATH "/workers/services/{script}/environments/{environment}/subdomain", SCRIPTS_READ, workers_subdomain) \
    X(GET, ACCOUNT_PATH "/workers/workers", SCRIPTS_TAIL, workers_objects)                                                  \
    X(GET, ACCOUNT_PATH "/workers/workers/{script}", SCRIPTS_TAIL, workers_object)                                          \
    X(GET, ACCOUNT_PATH "/workers/subdomain", SCRIPTS_READ, subdomain_get)                                                  \
    X(PUT, ACCOUNT_PATH "/workers/subdomain", SCRIPTS_WRITE, subdomain_put)                                                 \
    X(GET, ACCOUNT_PATH "/workers/subdomains/{subdomain}", SCRIPTS_READ, subdomain_check)                                   \
    X(GET, ACCOUNT_PATH "/workers/domains", SCRIPTS_READ, empty_list)                                                       \
    X(GET, ACCOUNT_PATH "/workers/domains/records", SCRIPTS_READ, empty_list)                                               \
    X(GET, ACCOUNT_PATH "/workers/durable_objects/namespaces", SCRIPTS_READ, empty_list)                                    \
    X(GET, ACCOUNT_PATH "/workers/dispatch/namespaces", SCRIPTS_TAIL, empty_list)                                           \
    X(GET, ACCOUNT_PATH "/workflows", SCRIPTS_TAIL, empty_list)                                                             \
    /* KV */                                                                                                                \
    X(GET, KV_PATH, KV_READ, kv_list)                                                                                       \
    X(POST, KV_PATH, KV_WRITE, kv_create)                                                                                   \
    X(GET, KV_PATH "/{namespace}", KV_READ, kv_get)                                                                         \
    X(PUT, KV_PATH "/{namespace}", KV_WRITE, kv_rename)                                                                     \
    X(DELETE, KV_PATH "/{namespace}", KV_WRITE, kv_delete)                                                                  \
    X(GET, KV_PATH "/{namespace}/keys", KV_READ, kv_keys)                                                                   \
    X(GET, KV_PATH "/{namespace}/values/{key}", KV_READ, kv_value)                                                          \
    X(PUT, KV_PATH "/{namespace}/values/{key}", KV_WRITE, kv_put)                                                           \
    X(DELETE, KV_PATH "/{namespace}/values/{key}", KV_WRITE, kv_key_delete)                                                 \
    X(GET, KV_PATH "/{namespace}/metadata/{key}", KV_READ, kv_metadata)                                                     \
    X(PUT, KV_PATH "/{namespace}/bulk", KV_WRITE, kv_bulk_put)                                                              \
    X(DELETE, KV_PATH "/{namespace}/bulk", KV_WRITE, kv_bulk_delete)                                                        \
    X(POST, KV_PATH "/{namespace}/bulk/delete", KV_WRITE, kv_bulk_delete)                                                   \
    X(POST, KV_PATH "/{namespace}/bulk/get", KV_READ, kv_bulk_get)                                                          \
    /* D1 */                                                                                                                \
    X(GET, D1_PATH, D1_READ, d1_list)                                                                                       \
    X(POST, D1_PATH, D1_WRITE, d1_create_database)                                                                          \
    X(GET, D1_PATH "/{database}", D1_READ, d1_get)                                                                          \
    X(PUT, D1_PATH "/{database}", D1_WRITE, d1_update)                                                                      \
    X(PATCH, D1_PATH "/{database}", D1_WRITE, d1_update)                                                                    \
    X(DELETE, D1_PATH "/{database}", D1_WRITE, d1_delete)                                                                   \
    X(POST, D1_PATH "/{database}/query", D1_READ, d1_query)                                                                 \
    X(POST, D1_PATH "/{database}/raw", D1_READ, d1_raw)                                                                     \
    X(POST, D1_PATH "/{database}/import", D1_WRITE, d1_import)                                                              \
    X(POST, D1_PATH "/{database}/export", D1_READ, d1_export)                                                               \
    X(GET, D1_PATH "/{database}/time_travel/bookmark", D1_READ, workers_unsupported)                                        \
    X(POST, D1_PATH "/{database}/time_travel/restore", D1_WRITE, workers_unsupported)                                       \
    /* Queues */                                                                                                            \
    X(GET, QUEUES_PATH, QUEUES_READ, queues_list)                                                                           \
    X(POST, QUEUES_PATH, QUEUES_WRITE, queues_create)                                                                       \
    X(GET, QUEUES_PATH "/{queue}", QUEUES_READ, queues_get)                                                                 \
    X(PUT, QUEUES_PATH "/{queue}", QUEUES_WRITE, queues_put)                                                                \
    X(PATCH, QUEUES_PATH "/{queue}", QUEUES_WRITE, queues_put)                                                              \
    X(DELETE, QUEUES_PATH "/{queue}", QUEUES_WRITE, queues_delete)                                                          \
    X(GET, QUEUES_PATH "/{queue}/purge", QUEUES_READ, queues_purge_status)                                                  \
    X(POST, QUEUES_PATH "/{queue}/purge", QUEUES_WRITE, queues_purge)                                                       \
    X(GET, QUEUES_PATH "/{queue}/consumers", QUEUES_READ, consumers_list)                                                   \
    X(POST, QUEUES_PATH "/{queue}/consumers", QUEUES_WRITE, consumers_create)                                               \
    X(PUT, QUEUES_PATH "/{queue}/consumers/{consumer}", QUEUES_WRITE, consumers_put)                                        \
    X(DELETE, QUEUES_PATH "/{queue}/consumers/{consumer}", QUEUES_WRITE, consumers_delete)                                  \
    X(POST, QUEUES_PATH "/{queue}/messages", QUEUES_WRITE, messages_push)                                                   \
    X(POST, QUEUES_PATH "/{queue}/messages/batch", QUEUES_WRITE, messages_batch)                                            \
    X(POST, QUEUES_PATH "/{queue}/messages/pull", QUEUES_WRITE, messages_pull)                                              \
    X(POST, QUEUES_PATH "/{queue}/messages/ack", QUEUES_WRITE, messages_ack)                                                \
    /* R2 */                                                                                                                \
    X(GET, R2_PATH, R2_READ, r2_list)                                                                                       \
    X(POST, R2_PATH, R2_WRITE, r2_create)                                                                                   \
    X(GET, R2_PATH "/{bucket}", R2_READ, r2_get)                                                                            \
    X(PATCH, R2_PATH "/{bucket}", R2_WRITE, r2_patch)                                                                       \
    X(DELETE, R2_PATH "/{bucket}", R2_WRITE, r2_delete)                                                                     \
    X(GET, R2_PATH "/{bucket}/objects", R2_ITEM_READ, r2_objects)                                                           \
    X(GET, R2_PATH "/{bucket}/objects/{key...}", R2_ITEM_READ, r2_object_get)                                               \
    X(PUT, R2_PATH "/{bucket}/objects/{key...}", R2_ITEM_WRITE, r2_object_put)                                              \
    X(DELETE, R2_PATH "/{bucket}/objects/{key...}", R2_ITEM_WRITE, r2_object_delete)                                        \
    /* Hyperdrive, certificates */                                                                                          \
    X(GET, ACCOUNT_PATH "/hyperdrive/configs", HYPERDRIVE_READ, hyperdrive_list)                                            \
    X(POST, ACCOUNT_PATH "/hyperdrive/configs", HYPERDRIVE_WRITE, hyperdrive_create)                                        \
    X(GET, ACCOUNT_PATH "/hyperdrive/configs/{config}", HYPERDRIVE_READ, hyperdrive_get)                                    \
    X(PUT, ACCOUNT_PATH "/hyperdrive/configs/{config}", HYPERDRIVE_WRITE, hyperdrive_put)                                   \
    X(PATCH, ACCOUNT_PATH "/hyperdrive/configs/{config}", HYPERDRIVE_WRITE, hyperdrive_put)                                 \
    X(DELETE, ACCOUNT_PATH "/hyperdrive/configs/{config}", HYPERDRIVE_WRITE, hyperdrive_delete)                             \
    X(GET, ACCOUNT_PATH "/mtls_certificates", CERTIFICATES_READ, certificates_list)                                         \
    X(POST, ACCOUNT_PATH "/mtls_certificates", CERTIFICATES_WRITE, certificates_create)                                     \
    X(GET, ACCOUNT_PATH "/mtls_certificates/{certificate}", CERTIFICATES_READ, certificates_get)                            \
    X(DELETE, ACCOUNT_PATH "/mtls_certificates/{certificate}", CERTIFICATES_WRITE, certificates_delete)                     \
    /* Zones: lists and creation check rights themselves, no zone stands in their path */                                  \
    X(GET, "/zones", ANY_TOKEN, zones_list)                                                                                 \
    X(POST, "/zones", ANY_TOKEN, zones_create)                                                                              \
    X(GET, ZONE_PATH, ZONE_READ, zones_get)                                                                                 \
    X(PATCH, ZONE_PATH, ZONE_WRITE, zones_patch)                                                                            \
    X(DELETE, ZONE_PATH, ZONE_WRITE, zones_delete)                                                                          \
    X(POST, ZONE_PATH "/purge_cache", CACHE_PURGE, zones_purge_cache)                                                       \
    X(GET, ZONE_PATH "/dns_records", DNS_READ, records_list)                                                                \
    X(POST, ZONE_PATH "/dns_records", DNS_WRITE, records_create)                                                            \
    X(GET, ZONE_PATH "/dns_records/{record}", DNS_READ, records_get)                                                        \
    X(PUT, ZONE_PATH "/dns_records/{record}", DNS_WRITE, records_put)                                                       \
    X(PATCH, ZONE_PATH "/dns_records/{record}", DNS_WRITE, records_patch)                                                   \
    X(DELETE, ZONE_PATH "/dns_records/{record}", DNS_WRITE, records_delete)                                                 \
    X(GET, ZONE_PATH "/workers/routes", ROUTES_READ, empty_list)

#endif
