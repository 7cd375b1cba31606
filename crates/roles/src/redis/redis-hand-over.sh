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

# The most that a replica which is online has of the master's stream.
replicated() {
    ask 6379 INFO replication | sed -n 's/^slave[0-9]*:.*state=online,offset=\([0-9]*\).*/\1/p' | sort -n | tail -n 1
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
        [ -n "$(replicated)" ] || { echo "there is no replica that could take over" >&2 && exit 1; }
        trap resume EXIT
        ask 6379 CLIENT PAUSE 10000 WRITE >/dev/null
        written=$(ask 6379 INFO replication | sed -n 's/^master_repl_offset://p')
        for _ in $(seq 50); do
            have=$(replicated)
            [ "${have:-0}" -lt "$written" ] || break
            sleep 0.1
        done
        [ "${have:-0}" -ge "$written" ] || { echo "no replica has everything: the nearest lacks $((written - ${have:-0})) bytes" >&2 && exit 1; }
        answer=$(ask 26379 SENTINEL FAILOVER main)
        [ "$answer" = OK ] || { echo "Sentinel: $answer" >&2 && exit 1; }
        for _ in $(seq 80); do
            master=$(ask 26379 SENTINEL GET-MASTER-ADDR-BY-NAME main | head -n 1)
            [ "$master" = "$own" ] || break
            sleep 0.1
        done
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
