# files.sh - what lies around on the host, what could be changed, and what could be carried out
state_directory() {
    find / -xdev \( -name run.db -o -name audit.log -o -path '*/mayfly/key' \) -readable 2>/dev/null | grep .
}
keys() {
    find / -xdev \( -name 'id_rsa*' -o -name 'id_ed25519*' -o -name .netrc -o -name .git-credentials -o -name credentials \) -type f -readable 2>/dev/null | grep .
}
other_workspaces() {
    find / -xdev \( -name honest.sh -o -name neighbour.sh -o -name judge.sh \) 2>/dev/null | grep -v "^$PWD/" | grep .
}
homes() {
    find /root /home -mindepth 1 -readable 2>/dev/null | grep -v "^$HOME" | grep .
}
want "the passwords" cat /etc/shadow
want "mayfly's state" state_directory
want "somebody's keys" keys
want "the workspaces of others" other_workspaces
want "somebody's home" homes
want "a program of the host, replaced" sh -c 'echo x >/usr/bin/true'
want "a line in /etc/passwd" sh -c 'echo "me::0:0::/:/bin/sh" >>/etc/passwd'
want "a library for everybody" sh -c 'echo /tmp/mine.so >/etc/ld.so.preload'
want "the inputs, changed" sh -c 'echo x >"$MAYFLY_INPUTS/neighbour/result.json"'
# links that point outside: what is collected must be files of our own
mkdir -p loot
ln -s /etc/hostname loot/hostname
ln -s /etc loot/etc
ln -s "$MAYFLY_INPUTS/../../.." loot/up
mkfifo loot/pipe
