//! Names that are taken on every instance, before anything of the platform is there.

/// Whether something of the system has this name already: `NAME.service`, or a file or folder `/etc/NAME`.
///
/// A component gets `/etc/systemd/system/NAME.service`, which would take the place of the system's own unit, and the
/// folder `/etc/NAME`, which only root may then read. A group has the same names to choose from: components and groups
/// share one space of names.
pub(super) fn is_of_the_system(name: &str) -> bool {
    FAMILIES.iter().any(|family| name.starts_with(family)) || TAKEN.split_ascii_whitespace().any(|taken| taken == name)
}

/// Debian adds units to these with every release.
const FAMILIES: [&str; 4] = ["systemd-", "apt-", "initrd-", "prometheus-"];

/// Units of instances of every role on Debian 13, what else the packages of the roles own in `/etc` that a component
/// could be called, and the daemons that people add to a Debian machine first.
const TAKEN: &str = "
    apt ca-certificates chrony console-getty cron cryptdisks cryptdisks-early dbus debug-shell dpkg dpkg-db-backup
    emergency fail2ban fstrim getty-static haproxy hwclock ifupdown-pre kmod kmod-static-nodes ldconfig logrotate
    man-db networkd-dispatcher networking nftables nginx polkit postfix procps quotaon-root rc-local rescue rsyslog
    ssh sshd sshd-keygen sudo syslog system-update-cleanup systemd udev ufw unattended-upgrades x11-common

    alternatives bindresvport credstore dbus-1 default environment ethertypes fstab group gshadow gss hostname hosts
    init inputrc issue kernel localtime locale logcheck machine-id modules monit motd mtab netconfig network networks
    opt os-release pam passwd perl pm profile protocols python3 resolvconf rmt rpc runit security selinux services
    shadow shells skel ssl subgid subuid sv sysctl terminfo timezone xattr xdg
";
