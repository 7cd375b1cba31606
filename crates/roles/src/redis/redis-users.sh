#!/bin/sh
# redis-users add|use|only check|apply OWN: replaces passwords while all go on. Every member first accepts the new ones
# beside the old (add), then members call each other by the new one (use), at last nothing but the new ones is accepted (only).
set -eu

stage=$1
mode=$2
own=$3

secrets=/etc/redis/credentials
sentinel=/var/lib/redis/sentinel/sentinel.conf

# Commands on standard input.
tell() {
    /usr/local/lib/bascule/redis-ask "$own" "$1" | tr -d '\r'
}

# The digests of the passwords that a user has, as a Redis or a Sentinel knows them.
accepted() {
    echo 'ACL LIST' | tell "$1" | awk -v user="$2" '$1 == "user" && $2 == user { for (n = 3; n <= NF; n++) if ($n ~ /^#/) print substr($n, 2) }'
}

digest() {
    tr -d '\n' <"$1" | sha256sum | cut -d ' ' -f 1
}

add() {
    for secret in "$secrets"/*; do
        user=${secret##*/}
        for port in 6379 26379; do
            accepted "$port" "$user" | grep -qx "$(digest "$secret")" || {
                [ "$mode" = apply ] || { echo "$user has another password on port $port" && exit 1; }
                printf 'ACL SETUSER %s on >%s\n' "$user" "$(cat "$secret")" | tell "$port" >/dev/null
            }
        done
    done
}

use() {
    password=$(cat "$secrets/member")
    [ "$(echo 'CONFIG GET masterauth' | tell 6379 | tail -n 1)" = "$password" ] &&
        tr -d '"' <"$sentinel" | grep -qxF "sentinel auth-pass main $password" &&
        tr -d '"' <"$sentinel" | grep -qxF "sentinel sentinel-pass $password" &&
        [ "$(cat /run/redis/member)" = "$password" ] && return
    [ "$mode" = apply ] || { echo "members are called by another password" && exit 1; }
    printf 'CONFIG SET masterauth %s\n' "$password" | tell 6379 >/dev/null
    printf 'SENTINEL SET main auth-pass %s\n' "$password" | tell 26379 >/dev/null
    printf 'SENTINEL CONFIG SET sentinel-pass %s\n' "$password" | tell 26379 >/dev/null
    install -o redis -g redis -m 0600 "$secrets/member" /run/redis/member
}

only() {
    for secret in "$secrets"/*; do
        user=${secret##*/}
        for port in 6379 26379; do
            [ "$(accepted "$port" "$user")" = "$(digest "$secret")" ] || {
                [ "$mode" = apply ] || { echo "$user has an old password, too, on port $port" && exit 1; }
                printf 'ACL SETUSER %s resetpass >%s\n' "$user" "$(cat "$secret")" | tell "$port" >/dev/null
            }
        done
    done
}

# Who does not answer has not another password.
for port in 6379 26379; do
    [ "$(echo PING | tell "$port")" = PONG ] || { echo "nobody answers on port $port" && exit 1; }
done

case $stage in
    add) add ;;
    use) use ;;
    only) only ;;
    *)
        echo "usage: redis-users add|use|only check|apply OWN" >&2
        exit 2
        ;;
esac
