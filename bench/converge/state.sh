#!/bin/sh
# Prints the end state of an instance, as far as the 24 things reach: the same for both tools, or the figures are void.
set -eu

journal=/etc/systemd/journald.conf.d/zz-bascule.conf

echo '# files'
for path in /usr/local/lib/bascule/login-defs $journal /etc/apt/apt.conf.d/60bascule-updates \
    /etc/sysctl.d/60-bascule-ipv6.conf /etc/systemd/coredump.conf.d/bascule.conf \
    /etc/security/limits.d/bascule.conf /etc/profile.d/bascule.sh /etc/modprobe.d/bascule.conf \
    /etc/issue /etc/issue.net /etc/login.defs; do
    stat -c '%n %F %U:%G %a' "$path"
    sha256sum <"$path"
done

echo '# packages'
# shellcheck disable=SC2016
dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' unattended-upgrades \
    libpam-passwdqc libpam-tmpdir

echo '# kernel settings, now and after a boot'
for file in /etc/sysctl.d/60-bascule-net.*; do
    sed 's/ *= */=/' "$file"
    sysctl "$(sed 's/ *=.*//' "$file")"
done
# A kernel without IPv6 has no such files, for either tool.
grep -s . /proc/sys/net/ipv6/conf/all/accept_redirects /proc/sys/net/ipv6/conf/default/accept_redirects || true

echo '# units'
for unit in systemd-journald.service apt-daily.timer apt-daily-upgrade.timer; do
    systemctl show --property Id,ActiveState,SubState,UnitFileState,NeedDaemonReload,DropInPaths "$unit"
done

echo '# whether the journal was started after its limits were written'
since=$(date -d "$(systemctl show --property ActiveEnterTimestamp --value systemd-journald.service)" +%s)
[ "$since" -ge "$(stat -c %Y $journal)" ] && echo "has read it" || echo "has NOT read it"
