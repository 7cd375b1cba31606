#!/bin/sh
# ssh-host-key check|make OWNER: whether the host key was made for this OWNER (its comment says so), or make it so.
set -eu

key=/etc/ssh/ssh_host_ed25519_key
owner=$2

case $1 in
    check)
        [ -s "$key" ] && [ -s "$key.pub" ] && [ "$(cut -d' ' -f3 "$key.pub")" = "$owner" ]
        ;;
    make)
        # The public half, which `check` reads, comes last: killed in between, the next run begins again.
        rm -f /etc/ssh/ssh_host_* "$key.new" "$key.new.pub"
        ssh-keygen -q -t ed25519 -N '' -C "$owner" -f "$key.new"
        mv "$key.new" "$key"
        mv "$key.new.pub" "$key.pub"
        ;;
    *)
        echo "usage: ssh-host-key check|make OWNER" >&2
        exit 2
        ;;
esac
