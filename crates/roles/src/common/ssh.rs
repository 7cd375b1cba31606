use bascule_spec::Platform;
use minijinja::context;

use crate::RoleError;
use crate::group::{Group, command, directory, file, running, script_path, validated};
use crate::template::render;

const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";
const DROP_IN: &str = "/etc/ssh/sshd_config.d/10-bascule.conf";

/// What becomes of the key that the server shows.
pub(super) enum HostKey {
    /// An image brings the key that was made when its packages were installed, the same for all its instances: this one gets
    /// its own.
    OfItsOwn,
    /// A machine has its own, which operators have pinned.
    Kept,
}

/// The way in. The operators' keys come before the hardening that lets in nobody without one, and the hardening is
/// only put in place when it was seen to let them in.
pub(super) fn steps(platform: &Platform, name: &str, host_key: HostKey, debian: u32) -> Result<Group, RoleError> {
    let mut group = Group::new("common/ssh");
    group.packages("install the SSH server", &["openssh-server"]);
    group.scripts(&[("sshd-check", include_str!("sshd-check.sh"))]);
    match host_key {
        HostKey::OfItsOwn => {
            group.scripts(&[("ssh-host-key", include_str!("ssh-host-key.sh"))]);
            let (program, owner) = (script_path("ssh-host-key"), format!("{name}.{}", platform.incus.project));
            group.step(
                "host-key",
                "give the instance a host key of its own",
                command(&[&program, "make", &owner], &[&program, "check", &owner], 30_000),
            );
        }
        HostKey::Kept => {
            let key = HOST_KEY.trim_end_matches(".pub");
            // Only keys that are missing, or empty because the power went at their first boot: each is written beside and
            // renamed.
            group.step("host-key", "have a host key", command(&["ssh-keygen", "-A"], &["test", "-s", key], 30_000));
        }
    }

    group.step("folder", "make root's SSH folder", directory("/root/.ssh", 0o700));
    let keys: String = platform.ssh.authorized_keys.iter().map(|key| format!("{}\n", key.trim())).collect();
    group.step(
        "authorized-keys",
        "let the operators' keys in, and no other",
        validated("/root/.ssh/authorized_keys", 0o600, keys, &["ssh-keygen", "-l", "-f", "{}"]),
    );

    let motd = render("motd.j2", include_str!("motd.j2"), context! { name, project => &platform.incus.project })?;
    group.step("motd", "tell who logs in what this machine is", file("/etc/motd", 0o644, motd));

    let sources: Vec<String> = platform.ssh.allow_from.iter().map(|net| net.trunc().to_string()).collect();
    // A host's operator calls several programs at once over one connection; an instance's is a person.
    let sessions_max = if matches!(host_key, HostKey::Kept) { 10 } else { 2 };
    let config =
        render("sshd.conf.j2", include_str!("sshd.conf.j2"), context! { sources => &sources, debian, sessions_max })?;
    let program = script_path("sshd-check");
    let check: Vec<&str> = [program.as_str(), "{}"].into_iter().chain(sources.iter().map(String::as_str)).collect();
    group.step("hardening", "harden the SSH server", validated(DROP_IN, 0o644, config, &check));
    group.step("service", "run the SSH server", running("ssh.service", &[HOST_KEY], &[DROP_IN]));
    Ok(group)
}
