#!/bin/sh
# redis-health OWN: whether this Redis serves: as the master, or as a replica that has all of the master's data. Otherwise
# prints why not.
set -eu

info=$(/usr/local/lib/bascule/redis-ask "$1" 6379 INFO replication | tr -d '\r')
value() {
    echo "$info" | sed -n "s/^$1://p"
}

case $(value role) in
    master) ;;
    slave)
        [ "$(value master_link_status)" = up ] || {
            echo "a replica of $(value master_host) that has no connection to it, for $(value master_link_down_since_seconds) s"
            exit 1
        }
        ;;
    *)
        why=$(journalctl --unit redis-server --lines 1 --output cat)
        echo "Redis does not answer; its last words: $why"
        exit 1
        ;;
esac
