#!/bin/sh
# haproxy-map check|apply MAP: whether HAProxy's copy of a map in memory says what the file says, or make it so, all
# entries in one transaction: no request sees half of it.
#
# Old workers, which a reload left behind to finish their sessions, keep what they have: they no longer check their
# servers, so they know nothing of another colour. `haproxy-sessions` counts them.
set -eu

socket=/run/haproxy/admin.sock
map=${2:-}

ask() {
    printf '%b\n' "$1" | socat -t 5 - "UNIX-CONNECT:$socket"
}

on_disk() {
    sed '/^[[:space:]]*\(#.*\)\{0,1\}$/d' "$map" | sort
}

# Each line of the answer begins with the entry's place in memory.
running() {
    ask "show map $map" | sed '/^$/d; s/^0x[0-9a-f]* //' | sort
}

case $#${1-} in
    2check)
        now=$(running)
        [ "$now" = "$(on_disk)" ] || {
            echo "HAProxy runs with: $(echo "$now" | paste -sd, -)"
            exit 1
        }
        ;;
    2apply)
        version=$(ask "prepare map $map" | sed -n 's/^New version created: *//p')
        [ -n "$version" ] || {
            echo "HAProxy opened no transaction on $map" >&2
            exit 1
        }
        # An empty line ends the entries.
        answer=$(ask "add map @$version $map <<\n$(on_disk)\n")$(ask "commit map @$version $map")
        [ -z "$answer" ] || {
            echo "HAProxy said: $answer" >&2
            exit 1
        }
        ;;
    *)
        echo "usage: haproxy-map check|apply MAP" >&2
        exit 2
        ;;
esac
