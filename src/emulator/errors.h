/*
 * emulator/errors.h - the errors of the API: HTTP status, code, message
 *
 * Codes are those that clients of the real service branch on. Where the real code is not public the row says so.
 */
#ifndef MF_EMULATOR_ERRORS_H
#define MF_EMULATOR_ERRORS_H

#define EMU_ERRORS(X)                                                                                                      \
    X(NO_ROUTE, 400, 7000, "No route for that URI")                                                                        \
    X(BAD_ROUTE, 400, 7003, "Could not route to the given path, perhaps your object identifier is invalid?")               \
    X(NO_ACCOUNT, 404, 7003, "Could not route to the given account, perhaps your object identifier is invalid?")           \
    X(METHOD, 405, 10000, "Method not allowed for the api_token authentication scheme")                                    \
    X(BAD_HEADERS, 400, 6003, "Invalid request headers")                                                                   \
    X(NO_CREDENTIAL, 400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")                               \
    X(UNKNOWN_KEY, 403, 9103, "Unknown X-Auth-Key or X-Auth-Email")                                                        \
    X(NOT_YOURS, 403, 9109, "Unauthorized to access requested resource")                                                   \
    X(LOCATION, 403, 9109, "Cannot use the access token from this location")                                               \
    X(AUTHENTICATION, 401, 10000, "Authentication error")                                                                  \
    X(FORBIDDEN, 403, 10000, "Authentication error")                                                                       \
    X(INVALID_TOKEN, 401, 1000, "Invalid API Token")                                                                       \
    X(THROTTLED, 429, 971, "Please wait and consider throttling your request speed")                                       \
    X(BAD_BODY, 400, 1003, "Invalid request body") /* own choice of code */                                                \
    X(BAD_FIELD, 400, 1001, "Invalid or missing field") /* own choice of code */                                           \
    X(TOO_MANY, 403, 1006, "Limit reached") /* own choice of code */                                                       \
    X(NO_MEMORY, 500, 10013, "Unknown error")                                                                              \
    X(TERMS, 400, 1001, "terms_of_service_not_accepted") /* code not public */                                             \
    X(INVALID_CHALLENGE, 400, 1017, "invalid_challenge")                                                                   \
    X(CHALLENGE_EXPIRED, 400, 1017, "challenge_expired")                                                                   \
    X(CHALLENGE_USED, 400, 1017, "challenge_already_used")                                                                 \
    X(INVALID_SOLUTION, 400, 1017, "invalid_solution")                                                                     \
    X(EVENT_MALFORMED, 400, 1035, "event_code_malformed")                                                                  \
    X(KEY_MISSING, 400, 1001, "Idempotency-Key header is required for standalone accounts") /* code not public */          \
    X(KEY_REUSED, 409, 1002, "Idempotency-Key was used for a different request") /* code not public */                     \
    X(ACCOUNT_LIMIT, 403, 1006, "Limit of accounts reached") /* code not public */                                         \
    X(TOKEN_NOT_FOUND, 404, 1003, "Invalid or missing token id") /* own choice of code */                                  \
    X(TOKEN_LIMIT, 400, 1006, "Limit of tokens reached") /* own choice of code */                                          \
    X(NO_WORKER, 404, 10007, "This Worker does not exist on your account.")                                                \
    X(NO_SERVICE, 404, 10090, "This service does not exist on your account.")                                              \
    X(NO_SUBDOMAIN, 404, 10007, "This account does not have a workers.dev subdomain.")                                     \
    X(SUBDOMAIN_TAKEN, 409, 10031, "Subdomain is unavailable, please try another subdomain")                               \
    X(UPLOAD, 400, 10021, "Uncaught Error: upload validation failed")                                                      \
    X(TOO_LARGE, 413, 10027, "Script is too large")                                                                        \
    X(NO_VERSION, 404, 10007, "This version does not exist.")                                                              \
    X(NO_SECRET, 404, 10056, "Secret not found")                                                                           \
    X(NO_KV, 404, 10013, "namespace not found")                                                                            \
    X(NO_KV_KEY, 404, 10009, "key not found")                                                                              \
    X(KV_EXISTS, 400, 10014, "a namespace with this account ID and title already exists")                                  \
    X(NO_D1, 404, 7404, "The database could not be found")                                                                 \
    X(D1_LIMIT, 400, 7406, "Database limit reached")                                                                       \
    X(D1_EXISTS, 400, 7502, "Database with that name already exists")                                                      \
    X(D1_SQL, 400, 7500, "SQL error")                                                                                      \
    X(NO_QUEUE, 404, 11000, "Queue not found") /* code not public */                                                       \
    X(QUEUE_EXISTS, 409, 11009, "Queue name is already taken") /* code not public */                                       \
    X(NO_BUCKET, 404, 10006, "The specified bucket does not exist.")                                                       \
    X(BUCKET_EXISTS, 409, 10004, "The bucket you tried to create already exists, and you own it.")                         \
    X(BUCKET_NOT_EMPTY, 409, 10008, "The bucket you tried to delete is not empty.")                                        \
    X(NO_R2_OBJECT, 404, 10007, "The specified key does not exist.")                                                       \
    X(NO_HYPERDRIVE, 404, 2000, "Hyperdrive configuration not found") /* code not public */                                \
    X(HYPERDRIVE_EXISTS, 409, 2017, "A Hyperdrive configuration with that name exists") /* code not public */              \
    X(NO_CERTIFICATE, 404, 1401, "mTLS certificate not found") /* code not public */                                       \
    X(NO_ZONE, 404, 1001, "Invalid zone identifier")                                                                       \
    X(ZONE_EXISTS, 400, 1061, "Zone already exists")                                                                       \
    X(NO_RECORD, 404, 81044, "Record does not exist.")                                                                     \
    X(NO_OBJECT, 404, 1002, "Not found") /* own choice of code */                                                          \
    X(UNSUPPORTED, 501, 10001, "Not supported by the emulator") /* own choice of code */

enum emu_error {
#define X(error, status, code, message) EMU_ERROR_##error,
    EMU_ERRORS(X)
#undef X
};

#endif
