#!/bin/sh
# haproxy-reload: lets HAProxy's master load its configuration in a new worker, and fails when it could not.
set -eu

answer=$(echo reload | socat -t 30 - UNIX-CONNECT:/run/haproxy-master.sock)
case $answer in
    Success=1*) ;;
    *)
        echo "HAProxy did not load its configuration: $answer" >&2
        exit 1
        ;;
esac
