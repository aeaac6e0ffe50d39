#!/usr/bin/perl
# listener.pl PORT_FILE LOG - some other host: takes connections on loopback, writes down every byte that comes, answers each with
# an empty object. The port that it got is in PORT_FILE as soon as it listens.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my ($port_file, $log_file) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 64, ReuseAddr => 1) or die "listener: $!\n";
open(my $log, '>', $log_file) or die "listener: $!\n";
$log->autoflush(1);
open(my $port, '>', "$port_file.new") or die "listener: $!\n";
print $port $server->sockport, "\n";
close($port);
rename("$port_file.new", $port_file) or die "listener: $!\n";

my $select = IO::Select->new($server);
while (my @ready = $select->can_read) {
    for my $socket (@ready) {
        if ($socket == $server) {
            my $client = $server->accept or next;
            print $log "connection\n";
            $select->add($client);
            next;
        }
        my $got = sysread($socket, my $bytes, 65536);
        if ($got) {
            print $log $bytes;
            next unless $bytes =~ /\r\n\r\n/;
            syswrite($socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
        }
        $select->remove($socket);
        close($socket);
    }
}
