//! What every instance has: a hardened way in, a guard at it, a firewall around it, security updates, metrics of the
//! machine, and a journal that cannot fill the disk.

mod hardening;
mod ssh;

use std::net::Ipv4Addr;

use bascule_plan::{LineItem, Probe, Resource};
use bascule_spec::{Instance, Platform};
use hardening::Of;
use minijinja::context;

use crate::group::{Group, file, running, script_path, sysctl, validated, wait};
use crate::template::render;
use crate::{Facts, RoleError, certificates, firewall};

/// The Debian of every instance.
const DEBIAN: u32 = 13;
/// The port of node_exporter.
pub(crate) const METRICS_PORT: u16 = 9100;
/// Named in `node_exporter.yml`, too.
const METRICS_CERTIFICATE: &str = "/etc/prometheus/node-exporter.pem";

pub(crate) fn steps(platform: &Platform, facts: &Facts, instance: &Instance) -> Result<Vec<LineItem>, RoleError> {
    let certificate = certificates::of_server(platform, facts, instance, METRICS_CERTIFICATE, "prometheus")?;
    let groups = [
        certificates::trust(platform)?,
        journal(),
        ssh::steps(platform, &instance.name, ssh::HostKey::OfItsOwn, DEBIAN)?,
        firewall::steps(platform, facts, instance)?,
        fail2ban(Some(platform.network.gateway))?,
        updates(),
        hardening::steps(Of::Instance),
        metrics(facts.address(instance)?, Some(certificate)),
    ];
    Ok(groups.into_iter().flat_map(Group::into_items).collect())
}

/// The same for a machine that Incus runs on: with another firewall, and without a certificate, since it is there before
/// the environment's authority is. Nobody is let in to its metrics.
pub(crate) fn host_steps(
    platform: &Platform,
    host: &str,
    address: Ipv4Addr,
    debian: u32,
) -> Result<Vec<LineItem>, RoleError> {
    let ssh = ssh::steps(platform, host, ssh::HostKey::Kept, debian)?;
    let groups = [journal(), ssh, fail2ban(None)?, updates(), hardening::steps(Of::Host), metrics(address, None)];
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

fn fail2ban(gateway: Option<Ipv4Addr>) -> Result<Group, RoleError> {
    // Read after all `.conf` files, Debian's own included.
    const JAIL: &str = "/etc/fail2ban/jail.local";
    let mut group = Group::new("common/fail2ban");
    group.packages("install fail2ban", &["fail2ban", "nftables", "python3-systemd"]);
    group.scripts(&[("fail2ban-check", include_str!("fail2ban-check.sh"))]);
    let jail = render(
        "fail2ban.local.j2",
        include_str!("fail2ban.local.j2"),
        context! { gateway => gateway.map(|gateway| gateway.to_string()) },
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

/// node_exporter loads its certificate anew for every connection: a renewed one needs no restart.
fn metrics(address: Ipv4Addr, certificate: Option<Resource>) -> Group {
    const WEB: &str = "/etc/prometheus/node-exporter.yml";
    const DEFAULTS: &str = "/etc/default/prometheus-node-exporter";
    let mut group = Group::new("common/metrics");
    group.packages("install node_exporter", &["prometheus-node-exporter"]);
    // Right after boot the address it listens on may not be there yet.
    let setting = sysctl("net.ipv4.ip_nonlocal_bind", "1");
    group.step("bind", "let services listen on an address before it is there", setting);
    let mut arguments = format!("--web.listen-address={address}:{METRICS_PORT}");
    let mut inputs = vec![DEFAULTS];
    if let Some(certificate) = certificate {
        group.step("certificate", "give node_exporter a certificate", certificate);
        group.step("tls", "let node_exporter speak TLS only", file(WEB, 0o644, include_str!("node_exporter.yml")));
        arguments = format!("{arguments} --web.config.file={WEB}");
        inputs.push(WEB);
    }
    group.step(
        "listen",
        "let node_exporter listen on the instance's address",
        file(DEFAULTS, 0o644, format!("ARGS=\"{arguments}\"\n")),
    );
    let unit = "prometheus-node-exporter.service";
    group.step("service", "run node_exporter", running(unit, &inputs, &[]));
    let listening = Probe::Tcp { address: format!("{address}:{METRICS_PORT}") };
    group.step("listening", "wait until node_exporter listens", wait(listening, Some(unit), 15_000));
    group
}
