#!/bin/sh
# haproxy-sessions BACKEND...: whether no session uses these backends, in any worker: the ones that a reload left behind
# to finish what they have are asked, too. Otherwise prints how many there are.
set -eu

[ $# -gt 0 ] || {
    echo "usage: haproxy-sessions BACKEND..." >&2
    exit 2
}

ask() {
    echo "$1" | socat -t 5 - UNIX-CONNECT:/run/haproxy-master.sock
}

workers=$(ask "show proc" | awk '$2 == "worker" { print $1 }')
[ -n "$workers" ] || {
    echo "HAProxy's master named no worker" >&2
    exit 2
}

for worker in $workers; do
    # A worker may end while it is asked.
    ask "@!$worker show stat" || true
done | awk -F, -v wanted="$*" '
    BEGIN {
        count = split(wanted, names, " ")
        for (n = 1; n <= count; n++) want[names[n]] = 1
    }
    /^# / {
        answered = 1
        sub(/^# /, "")
        for (n = 1; n <= NF; n++) column[$n] = n
        next
    }
    $2 == "BACKEND" && ($1 in want) { left += $column["scur"]; of[$1] += $column["scur"] }
    END {
        if (!answered) {
            print "no worker of HAProxy told its sessions"
            exit 2
        }
        if (!left) exit 0
        for (n = 1; n <= count; n++) if (of[names[n]]) told = told (told ? ", " : "") of[names[n]] " on " names[n]
        print "sessions left: " told
        exit 1
    }'
