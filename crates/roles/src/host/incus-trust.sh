#!/bin/sh
# incus-trust check NAME PROJECT FINGERPRINT | make NAME PROJECT FINGERPRINT FILE: whether Incus trusts this certificate, and
# no other of its name, with this project only; or make it so.
# incus-trust check NAME | remove NAME: whether Incus trusts no certificate of this name; or make it so.
set -eu

verb=$1
name=$2
project=${3:-}
fingerprint=${4:-}

# One line for each certificate of the name: FINGERPRINT,RESTRICTED,PROJECTS. The fingerprint is cut to twelve digits.
trusted() { incus config trust list --format csv --columns nfrp | sed -n "s/^$name,//p"; }

case $verb in
    check)
        wanted=
        [ -z "$fingerprint" ] || wanted=$(printf %.12s "$fingerprint"),yes,$project
        found=$(trusted)
        [ "$found" = "$wanted" ] || {
            echo "trusted is \`$found\`, not \`$wanted\`"
            exit 1
        }
        ;;
    make | remove)
        # What was trusted before under this name is not any more: a certificate that was replaced, or one with other limits.
        for old in $(trusted | cut -d, -f1); do
            incus config trust remove "$old"
        done
        [ "$verb" = remove ] || incus config trust add-certificate "$5" --name "$name" --restricted --projects "$project"
        ;;
esac
