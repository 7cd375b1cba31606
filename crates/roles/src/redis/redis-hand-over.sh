#!/bin/sh
# redis-hand-over check|apply OWN: whether this Redis is not the master, or have another one be it: writes are held back, no
# longer than a few seconds, until a replica has everything and was promoted. No write that was answered is lost.
set -eu

mode=$1
own=$2

ask() {
    /usr/local/lib/bascule/redis-ask "$own" "$@" | tr -d '\r'
}

is_master() {
    [ "$(ask 6379 ROLE | head -n 1)" = master ]
}

# How many replicas have so much of the master's stream, unless one lacks something that Sentinel might choose: it takes one
# for lost that was silent for 1.5 seconds.
with_all() {
    ask 6379 INFO replication | awk -F '[=,]' -v written="$1" '
        /^slave[0-9]*:.*state=online/ {
            for (n = 1; n < NF; n++) value[$n] = $(n + 1)
            if (value["offset"] + 0 >= written) all++
            else if (value["lag"] + 0 < 3) lacks++
        }
        END { print lacks ? 0 : all + 0 }'
}

# For longer than anything here takes; what was said before holds until then.
pause() {
    ask 6379 CLIENT PAUSE 15000 WRITE >/dev/null
}

resume() {
    ask 6379 CLIENT UNPAUSE >/dev/null
}

case $mode in
    check)
        ! is_master || { echo "it is the master" && exit 1; }
        ;;
    apply)
        is_master || exit 0
        [ "$(with_all 0)" -gt 0 ] || { echo "there is no replica that could take over" >&2 && exit 1; }
        trap resume EXIT
        pause
        written=$(ask 6379 INFO replication | sed -n 's/^master_repl_offset://p')
        for _ in $(seq 50); do
            count=$(with_all "$written")
            [ "$count" = 0 ] || break
            sleep 0.1
        done
        [ "$count" != 0 ] || { echo "not every replica that may be promoted has everything" >&2 && exit 1; }
        pause
        answer=$(ask 26379 SENTINEL FAILOVER main)
        [ "$answer" = OK ] || { echo "Sentinel: $answer" >&2 && exit 1; }
        for _ in $(seq 80); do
            master=$(ask 26379 SENTINEL GET-MASTER-ADDR-BY-NAME main | head -n 1)
            [ "$master" = "$own" ] || break
            pause
            sleep 0.1
        done
        # By then Sentinel has given up, too: `failover-timeout`.
        [ "$master" != "$own" ] || { echo "no replica was promoted within 8 s" >&2 && exit 1; }
        # Sentinel would tell it only some seconds later.
        ask 6379 REPLICAOF "$master" 6379 >/dev/null
        ask 6379 CLIENT KILL TYPE NORMAL >/dev/null
        for _ in $(seq 50); do
            ! ask 6379 INFO replication | grep -q '^master_link_status:up' || exit 0
            sleep 0.1
        done
        ;;
    *)
        echo "usage: redis-hand-over check|apply OWN" >&2
        exit 2
        ;;
esac
