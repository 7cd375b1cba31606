#!/bin/sh
# login-defs check|set KEY=VALUE...: whether /etc/login.defs, which has no folder for drop-ins, says each of these, or make
# it say so.
set -eu

file=/etc/login.defs
mode=$1
shift

wanted() {
    awk -v settings="$*" '
        BEGIN {
            count = split(settings, list, " ")
            for (n = 1; n <= count; n++) {
                split(list[n], pair, "=")
                value[pair[1]] = pair[2]
                order[n] = pair[1]
            }
        }
        $1 in value {
            if (!seen[$1]++) print $1 "\t" value[$1]
            next
        }
        { print }
        END { for (n = 1; n <= count; n++) if (!seen[order[n]]) print order[n] "\t" value[order[n]] }
    ' "$file"
}

case $mode in
    check)
        wanted "$@" | cmp -s - "$file"
        ;;
    set)
        wanted "$@" >"$file.bascule-new"
        chmod 644 "$file.bascule-new"
        mv "$file.bascule-new" "$file"
        ;;
    *)
        echo "usage: login-defs check|set KEY=VALUE..." >&2
        exit 2
        ;;
esac
