# network.sh - out, past the gateway. The addresses are those of documentation and of this machine: nobody is bothered.
for place in 192.0.2.1:443 198.51.100.7:80 169.254.169.254:80 10.0.0.1:22 172.17.0.1:2375 127.0.0.1:22 127.0.0.1:5432; do
    want "a connection to $place" connects "${place%:*}" "${place#*:}"
done
want "a name server" connects 192.0.2.53 53 udp
want "the names of the world" getent hosts www.example.org
want "the container engine" sh -c 'curl -sS --max-time 3 --unix-socket /var/run/docker.sock http://localhost/version || curl -sS --max-time 3 --unix-socket /run/docker.sock http://localhost/version'
want "a raw socket" perl -MSocket -e 'socket(my $s, AF_INET, SOCK_RAW, 1) or exit 1'
want "a packet socket" perl -e 'socket(my $s, 17, 3, 0) or exit 1'
want "another way out in the table" sh -c 'grep -vE "^Iface" /proc/net/route | grep .'

# tunnels HOST:PORT - through the proxy that the agent is given, or through the API's door
tunnels() {
    local proxy=${HTTPS_PROXY:-${https_proxy:-http://$door}} status
    status=$(curl -sS --max-time 5 --proxytunnel --proxy "$proxy" -o body -w '%{http_connect}' "http://$1/") || true
    echo "$status"
    [ "$status" = 200 ]
}
for place in evil.example:443 192.0.2.1:443 127.0.0.1:22 '[::1]:22' localhost:22 0.0.0.0:22 169.254.169.254:80 127.1:22 2130706433:22 '[::ffff:127.0.0.1]:22'; do
    want "a tunnel to $place" tunnels "$place"
done
want "a page by the proxy" sh -c 'curl -sS --fail --max-time 5 --proxy "${HTTP_PROXY:-${http_proxy:-http://'"$door"'}}" http://evil.example/'
