#!/usr/bin/perl
# relay.pl FROM:PORT TO:PORT - passes TCP connections on, so that a server on loopback has another address; one process for each
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my ($from, $to) = @ARGV;
my $listener = IO::Socket::INET->new(LocalAddr => $from, Listen => 64, ReuseAddr => 1) or die "relay: $from: $@\n";
$SIG{CHLD} = 'IGNORE';
while (my $client = $listener->accept) {
    next if fork;
    my $server = IO::Socket::INET->new(PeerAddr => $to) or exit 1;
    my $watched = IO::Select->new($client, $server);
    while (my @ready = $watched->can_read) {
        for my $source (@ready) {
            my $target = $source == $client ? $server : $client;
            sysread($source, my $bytes, 65536) or exit 0;
            for (my $at = 0; $at < length $bytes;) {
                $at += syswrite($target, $bytes, length($bytes) - $at, $at) || exit 0;
            }
        }
    }
    exit 0;
}
