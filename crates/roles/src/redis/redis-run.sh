#!/bin/sh
# redis-run QUORUM OWN MEMBER…: runs Redis as what the Sentinels say that it is. A member that has lost its data, or never had
# any, is never the master: as an empty one it would empty all others.
set -eu

quorum=$1
own=$2
shift 2

data=/var/lib/redis
run=/run/redis
ask=/usr/local/lib/bascule/redis-ask

# The address on which so many Sentinels agree, where they do.
master() {
    for member in "$@"; do
        "$ask" "$member" 26379 SENTINEL GET-MASTER-ADDR-BY-NAME main | head -n 1
    done | grep -E '^[0-9]+(\.[0-9]+){3}$' | sort | uniq -c | awk -v quorum="$quorum" '$1 >= quorum { print $2 }'
}

# All Sentinels answer, and none has ever seen a replica of the master: so nobody has got any data from it.
is_new() {
    for member in "$@"; do
        replicas=$("$ask" "$member" 26379 SENTINEL MASTER main | awk 'before == "num-slaves" { print } { before = $0 }')
        [ "$replicas" = 0 ] || return 1
    done
}

umask 077
cat "$CREDENTIALS_DIRECTORY/member" >"$run/member"

said=
while :; do
    master=$(master "$@")
    if [ -z "$master" ]; then
        why="waiting: no $quorum Sentinels agree on who is the master"
    elif [ "$master" = "$own" ] && [ ! -e "$data/complete" ] && ! is_new "$@"; then
        why="waiting: this was the master, and has lost its data; Sentinels will make another one the master"
    else
        break
    fi
    [ "$why" = "$said" ] || echo "$why"
    said=$why
    sleep 0.5
done

# What may do everything, and what may use data, but not the server.
{
    echo "user default off resetpass -@all"
    for secret in "$CREDENTIALS_DIRECTORY"/*; do
        user=${secret##*/}
        case $user in
            member) may="~* &* +@all" ;;
            *) may="~* &* +@all -@admin -@dangerous +info +role" ;;
        esac
        echo "user $user on >$(cat "$secret") $may"
    done
} >"$run/users.acl"

{
    echo "include /etc/redis/bascule.conf"
    echo "aclfile $run/users.acl"
    echo "masteruser member"
    echo "masterauth $(cat "$run/member")"
    # One that has not got all data yet must not be promoted, however few others there are.
    [ "$master" = "$own" ] || {
        echo "replicaof $master 6379"
        [ -e "$data/complete" ] || echo "replica-priority 0"
    }
} >"$run/redis.conf"

# Goes on beside Redis, and ends when that has all data.
(
    until "$ask" "$own" 6379 INFO replication | grep -qE '^(role:master|master_link_status:up)'; do sleep 0.5; done
    "$ask" "$own" 6379 CONFIG SET replica-priority 100 >/dev/null
    touch "$data/complete"
) &

exec redis-server "$run/redis.conf"
