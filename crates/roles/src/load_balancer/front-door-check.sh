#!/bin/sh
# front-door-check haproxy:            whether HAProxy on this machine answers in time.
# front-door-check generation PEER...: whether this load balancer serves the newest generation of the switch that it
#                                      ever saw another one serve. A peer that does not answer says nothing.
#
# keepalived runs both, as a user of their own. What was seen outlives a restart: a load balancer that was left behind
# must not take the address when the one that is ahead dies.
set -eu

newest=/var/lib/keepalived/newest-generation

# Each load balancer tells the others its generation on this port.
generation() {
    curl --silent --fail --noproxy '*' --max-time 0.4 "http://$1:8405/"
}

case ${1-} in
    haproxy)
        # A machine that is only busy gets a second chance.
        generation 127.0.0.1 >/dev/null || generation 127.0.0.1 >/dev/null
        ;;
    generation)
        shift
        own=$(generation 127.0.0.1)
        seen=$(cat "$newest" 2>/dev/null || echo 0)
        for peer; do
            theirs=$(generation "$peer") || continue
            [ "$theirs" -le "$seen" ] || {
                seen=$theirs
                # Of its own generation and older ones it need not know after a restart.
                [ "$seen" -le "$own" ] || {
                    echo "$seen" >"$newest.new"
                    mv "$newest.new" "$newest"
                }
            }
        done
        [ "$seen" -le "$own" ] || {
            echo "this load balancer serves generation $own, another one $seen"
            exit 1
        }
        ;;
    *)
        echo "usage: front-door-check haproxy | generation PEER..." >&2
        exit 2
        ;;
esac
