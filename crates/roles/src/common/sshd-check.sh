#!/bin/sh
# sshd-check STAGED SOURCE...: whether sshd accepts its whole configuration with the staged drop-in in it, and whether it
# would then still let root in, by a key that is there, from every SOURCE (an address with its prefix length).
set -eu

staged=$1
shift
drop_in=10-bascule.conf
keys=/root/.ssh/authorized_keys

fail() {
    echo "sshd-check: refused: $*" >&2
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/conf.d"
for file in /etc/ssh/sshd_config.d/*.conf; do
    [ ! -f "$file" ] || cp "$file" "$work/conf.d"
done
cp "$staged" "$work/conf.d/$drop_in"
sed "s,/etc/ssh/sshd_config.d/,$work/conf.d/," /etc/ssh/sshd_config >"$work/sshd_config"
grep -q "^Include $work/conf.d/" "$work/sshd_config" || fail "/etc/ssh/sshd_config does not include its drop-ins"

# sshd wants its folder for a test, too, and systemd takes it away whenever the service ends: also between two lines of
# this program, when an instance without a host key is booting.
sshd() {
    for try in 1 2 3 4 5; do
        mkdir -p -m 0755 /run/sshd
        /usr/sbin/sshd "$@" 2>"$work/said" && return
        grep -q 'privilege separation directory' "$work/said" && [ "$try" -lt 5 ] || break
        sleep 0.2
    done
    cat "$work/said" >&2
    return 1
}

sshd -t -f "$work/sshd_config" || fail "sshd does not accept the configuration"
ssh-keygen -l -f "$keys" >/dev/null 2>&1 || fail "$keys holds no valid key: nobody could log in any more"

[ $# -gt 0 ] || fail "no source would be allowed to log in"
for source in "$@"; do
    effective=$(sshd -T -f "$work/sshd_config" -C "user=root,addr=${source%/*},host=${source%/*}")
    has() { echo "$effective" | grep -Eqix -- "$1"; }
    has "allowusers root@$source" || fail "root could not log in from $source: AllowUsers does not have it"
    has 'pubkeyauthentication yes' || fail "root could not log in from $source: keys are turned off"
    has 'authenticationmethods (any|publickey)' || fail "root could not log in from $source: a key would not be enough"
    has 'permitrootlogin (yes|without-password|prohibit-password)' || fail "root could not log in from $source at all"
    has 'authorizedkeysfile (.* )?\.ssh/authorized_keys( .*)?' || fail "sshd would not read $keys"
    ! has '(denyusers|denygroups|allowgroups) .*' || fail "users or groups are denied, or allowed by group, elsewhere"
done
