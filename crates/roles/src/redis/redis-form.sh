#!/bin/sh
# redis-form ready|check|apply|known QUORUM OWN MEMBER…: has this Sentinel watch a master: the one that the others watch. Only when
# all of them answer that they watch none, nobody has any data, and the first member is the master.
#
#   ready   whether enough of them answer to tell which it is
#   check   whether this one watches a master
#   known   whether it knows all the others: one that knows no replica cannot promote any
set -eu

mode=$1
quorum=$2
own=$3
shift 3

file=/var/lib/redis/sentinel/sentinel.conf

# Who is the master, as a Sentinel knows it: an address, "none", or nothing where it does not answer.
watched() {
    # In one breath, so that silence is never taken for an answer.
    answer=$(printf 'SENTINEL GET-MASTER-ADDR-BY-NAME main\nPING\n' | /usr/local/lib/bascule/redis-ask "$1" 26379 | tr -d '\r')
    case $answer in
        [0-9]*.*PONG) echo "$answer" | head -n 1 ;;
        *PONG) echo none ;;
    esac
}

# The master to watch, or why there is none yet.
found() {
    silent=
    for member in "$@"; do
        seen=$(watched "$member")
        case $seen in
            "") silent="$silent $member" ;;
            none) ;;
            *) echo "$seen" && return ;;
        esac
    done
    [ -z "$silent" ] || { echo "no Sentinel knows a master, and none answers at$silent: they may know one" && return 1; }
    echo "$1"
}

case $mode in
    ready)
        # Who knows it need not ask others, of which one may be gone for good.
        case $(watched "$own") in *.*) exit ;; esac
        found "$@"
        ;;
    check)
        case $(watched "$own") in
            "") echo "Sentinel does not answer" && exit 1 ;;
            none) echo "Sentinel watches no master yet" && exit 1 ;;
        esac
        ;;
    apply)
        # The others do the same at this moment, and are just being restarted.
        for _ in $(seq 20); do
            ! master=$(found "$@") || break
            sleep 0.5
        done
        case $master in *" "*) echo "$master" >&2 && exit 1 ;; esac
        umask 077
        printf 'sentinel monitor main %s 6379 %s\n' "$master" "$quorum" >"$file.form"
        chown redis:redis "$file.form"
        sync "$file.form"
        mv "$file.form" "$file"
        systemctl restart redis-sentinel.service
        for _ in $(seq 40); do
            case $(watched "$own") in *.*) exit 0 ;; esac
            sleep 0.25
        done
        echo "Sentinel does not answer after its restart" >&2
        exit 1
        ;;
    known)
        /usr/local/lib/bascule/redis-ask "$own" 26379 SENTINEL MASTER main | tr -d '\r' | awk -v others="$(($# - 1))" '
            NR % 2 { key = $0; next }
            { value[key] = $0 }
            END {
                replicas = value["num-slaves"] + 0
                sentinels = value["num-other-sentinels"] + 0
                if (replicas >= others && sentinels >= others) exit 0
                print "Sentinel knows " replicas " replicas and " sentinels " other Sentinels, of " others " each"
                exit 1
            }'
        ;;
    *)
        echo "usage: redis-form ready|check|apply|known QUORUM OWN MEMBER..." >&2
        exit 2
        ;;
esac
