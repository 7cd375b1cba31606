//! What every instance has: a hardened way in, a guard at it, security updates, metrics of the machine, and a journal
//! that cannot fill the disk.

mod ssh;

use std::net::Ipv4Addr;

use bascule_plan::{LineItem, Probe};
use bascule_spec::Platform;
use minijinja::context;

use crate::RoleError;
use crate::group::{Group, file, running, script_path, validated, wait};
use crate::template::render;

/// The port of node_exporter.
const METRICS_PORT: u16 = 9100;

pub(crate) fn steps(platform: &Platform, instance: &str, address: Ipv4Addr) -> Result<Vec<LineItem>, RoleError> {
    let groups = [journal(), ssh::steps(platform, instance)?, fail2ban(platform)?, updates(), metrics(address)];
    Ok(groups.into_iter().flat_map(Group::into_items).collect())
}

fn journal() -> Group {
    // The last file in the order of names wins, and an image may bring its own.
    const LIMITS: &str = "/etc/systemd/journald.conf.d/zz-bascule.conf";
    let mut group = Group::new("common/journal");
    group.step("limits", "limit what the journal may keep", file(LIMITS, 0o644, include_str!("journald.conf")));
    group.step("service", "run the journal", running("systemd-journald.service", &[LIMITS], &[]));
    group
}

fn fail2ban(platform: &Platform) -> Result<Group, RoleError> {
    // `.local` files are read after all `.conf` ones, Debian's own included.
    const JAIL: &str = "/etc/fail2ban/jail.d/bascule.local";
    let mut group = Group::new("common/fail2ban");
    group.packages("install fail2ban", &["fail2ban", "nftables", "python3-systemd"]);
    group.scripts(&[("fail2ban-check", include_str!("fail2ban-check.sh"))]);
    let jail = render(
        "fail2ban.local.j2",
        include_str!("fail2ban.local.j2"),
        context! { gateway => platform.network.gateway.to_string() },
    )?;
    group.step(
        "jail",
        "ban who guesses at SSH passwords and keys",
        validated(JAIL, 0o644, jail, &[&script_path("fail2ban-check"), "{}"]),
    );
    group.step("service", "run fail2ban", running("fail2ban.service", &[JAIL], &[]));
    Ok(group)
}

fn updates() -> Group {
    // Read after Debian's own `20auto-upgrades` and `50unattended-upgrades`.
    const SETTINGS: &str = "/etc/apt/apt.conf.d/60bascule-updates";
    let mut group = Group::new("common/updates");
    group.packages("install unattended-upgrades", &["unattended-upgrades"]);
    group.step(
        "settings",
        "install security updates, and nothing else, without being asked",
        validated(SETTINGS, 0o644, include_str!("updates.conf"), &["apt-config", "-c", "{}", "dump"]),
    );
    group.step("lists", "read the archive's lists every day", running("apt-daily.timer", &[], &[]));
    group.step("upgrade", "install updates every day", running("apt-daily-upgrade.timer", &[], &[]));
    group
}

fn metrics(address: Ipv4Addr) -> Group {
    const DEFAULTS: &str = "/etc/default/prometheus-node-exporter";
    const DROP_IN: &str = "/etc/systemd/system/prometheus-node-exporter.service.d/bascule.conf";
    let mut group = Group::new("common/metrics");
    group.packages("install node_exporter", &["prometheus-node-exporter"]);
    group.step(
        "listen",
        "let node_exporter listen on the instance's address",
        file(DEFAULTS, 0o644, format!("ARGS=\"--web.listen-address={address}:{METRICS_PORT}\"\n")),
    );
    group.step(
        "restarts",
        "start it again until the address is there",
        file(DROP_IN, 0o644, include_str!("node_exporter.conf")),
    );
    let unit = "prometheus-node-exporter.service";
    group.step("service", "run node_exporter", running(unit, &[DEFAULTS, DROP_IN], &[]));
    let listening = Probe::Tcp { address: format!("{address}:{METRICS_PORT}") };
    group.step("listening", "wait until node_exporter listens", wait(listening, Some(unit), 15_000));
    group
}
