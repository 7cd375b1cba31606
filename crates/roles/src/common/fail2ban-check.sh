#!/bin/sh
# fail2ban-check STAGED: whether fail2ban accepts its configuration with the staged jail in it.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R /etc/fail2ban/. "$work"
cp "$1" "$work/jail.d/bascule.local"
fail2ban-client -c "$work" --test
