#!/bin/sh
# redis-ask ADDRESS PORT [COMMAND…]: what a Redis or a Sentinel answers to one of its own group, within two seconds; nothing
# when it does not answer. Without a COMMAND, one is read from standard input: a password has no place among arguments.
set -eu

address=$1
port=$2
shift 2

# The password in effect: another one, while it is being replaced, than the one that the platform has by now.
secret=/run/redis/member
[ -r "$secret" ] || secret=${CREDENTIALS_DIRECTORY:-/etc/redis/credentials}/member
{
    printf 'AUTH member %s\n' "$(cat "$secret")"
    if [ $# -gt 0 ]; then printf '%s\n' "$*"; else cat; fi
} | timeout 2 redis-cli -h "$address" -p "$port" --tls --cacert /etc/bascule/authority.pem 2>/dev/null | tail -n +2
