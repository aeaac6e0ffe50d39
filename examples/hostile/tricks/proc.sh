# proc.sh - other processes: what they are, what they hold, and the kernel's own doors
other_processes() {
    cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -E 'mayfly (run|runner|resume|emulate)'
}
other_environments() {
    cat /proc/[0-9]*/environ | tr '\0' '\n' | grep -E '^(MAYFLY_EMULATOR_TOKEN|CLOUDFLARE_API_TOKEN|ANTHROPIC_API_KEY|OPENAI_API_KEY)=' | grep -v '=mfy_'
}
other_memory() {
    for process in /proc/[0-9]*; do
        [ "$process" = "/proc/$$" ] || [ "$process" = /proc/self ] || dd if="$process/mem" bs=4096 count=1 skip=1024 status=none
    done | grep -a .
}
tracing() {
    perl -e 'require "syscall.ph"; exit(syscall(&SYS_ptrace, 16, 1, 0, 0) == 0 ? 0 : 1)'
}
want "the processes of mayfly" other_processes
want "the variables of other processes" other_environments
want "the memory of other processes" other_memory
want "process 1, traced" tracing
want "the handler of core dumps" sh -c 'echo "|/tmp/mine" >/proc/sys/kernel/core_pattern'
want "the kernel's emergency keys" sh -c 'echo h >/proc/sysrq-trigger'
want "the kernel's memory" sh -c 'head -c 1 /proc/kcore || head -c 1 /dev/mem'
want "a disk" sh -c 'mknod disk b 8 0 && head -c 1 disk'
want "a mount" sh -c 'mkdir -p here && mount -t tmpfs none here'
want "the host's name" hostname hostile
want "another user" sh -c 'su -c id || sudo -n id'
