#!/bin/sh
# haproxy-servers BACKEND[/SERVER]...: whether HAProxy has seen all of these servers to be healthy, by a check of its own.
# Otherwise prints those it has not.
set -eu

[ $# -gt 0 ] || {
    echo "usage: haproxy-servers BACKEND[/SERVER]..." >&2
    exit 2
}

# A server that was never checked is UP as well, but its check's status is INI.
echo "show stat" | socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock | awk -F, -v wanted="$*" '
    NR == 1 {
        sub(/^# /, "")
        for (n = 1; n <= NF; n++) column[$n] = n
        next
    }
    $2 == "FRONTEND" || $2 == "BACKEND" || NF < 2 { next }
    {
        name = $1 "/" $2
        status = $column["status"]
        check = $column["check_status"]
        healthy = status == "UP" && check ~ /OK$/
        seen[$1] = seen[name] = 1
        if (!healthy) bad[$1] = bad[$1] (bad[name] = " " name " is " status " (" check ")")
    }
    END {
        if (!NR) {
            print "HAProxy does not answer"
            exit 2
        }
        count = split(wanted, names, " ")
        for (n = 1; n <= count; n++) {
            if (!(names[n] in seen)) told = told " " names[n] " is not known to HAProxy"
            told = told bad[names[n]]
        }
        if (told == "") exit 0
        print substr(told, 2)
        exit 1
    }'
