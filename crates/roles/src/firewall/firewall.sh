#!/bin/sh
# firewall check|load: whether the kernel has the rules of the file and nobody changed them since, or load them.
set -eu

rules=/etc/bascule/firewall.nft
loaded=/run/bascule/firewall

# The file, and what the kernel makes of it: it prints rules in a way of its own.
state() {
    sha256sum "$rules"
    nft --stateless list table inet bascule
}

case ${1-} in
    check)
        [ "$(state 2>&1)" = "$(cat "$loaded" 2>&1)" ] || {
            echo "the kernel does not have these rules"
            exit 1
        }
        ;;
    load)
        mkdir -p "${loaded%/*}"
        rm -f "$loaded"
        nft --file "$rules"
        state >"$loaded.new"
        mv "$loaded.new" "$loaded"
        ;;
    *)
        echo "usage: firewall check|load" >&2
        exit 2
        ;;
esac
