#!/bin/sh
# incus-object check|make server|network|project NAME KEY=VALUE...: whether the server (whatever NAME), a bridge or a project
# has these settings, or make it so. Other settings are left alone.
set -eu

verb=$1
kind=$2
name=$3
shift 3

exists() {
    case $kind in
        server) true ;;
        *) incus "$kind" show "$name" >/dev/null 2>&1 ;;
    esac
}

get() {
    case $kind in
        server) incus config get "$1" ;;
        *) incus "$kind" get "$name" "$1" ;;
    esac
}

apply() {
    case $kind in
        server) incus config set "$@" ;;
        *) incus "$kind" set "$name" "$@" ;;
    esac
}

differs() {
    for setting in "$@"; do
        is=$(get "${setting%%=*}")
        [ "$is" = "${setting#*=}" ] || {
            echo "${setting%%=*} is \`$is\`, not \`${setting#*=}\`"
            return
        }
    done
    return 1
}

case $verb in
    check)
        exists || {
            echo "there is no $kind $name"
            exit 1
        }
        ! differs "$@"
        ;;
    make)
        if exists; then
            apply "$@"
        elif [ "$kind" = network ]; then
            incus network create "$name" "$@"
        else
            # In one piece: a project that exists has its limits.
            for setting in "$@"; do
                set -- "$@" -c "$setting"
                shift
            done
            incus project create "$name" "$@"
        fi
        ;;
esac
