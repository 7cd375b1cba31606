use bascule_spec::Platform;
use minijinja::context;

use crate::RoleError;
use crate::group::{Group, command, directory, running, script_path, validated};
use crate::template::render;

const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";
const DROP_IN: &str = "/etc/ssh/sshd_config.d/10-bascule.conf";

/// The way in. The operators' keys come before the hardening that lets in nobody without one, and the hardening is
/// only put in place when it was seen to let them in.
pub(super) fn steps(platform: &Platform, instance: &str) -> Result<Group, RoleError> {
    let mut group = Group::new("common/ssh");
    group.packages("install the SSH server", &["openssh-server"]);
    group.scripts(&[("sshd-check", include_str!("sshd-check.sh")), ("ssh-host-key", include_str!("ssh-host-key.sh"))]);

    // An image brings the key that was made when its packages were installed: the same for all its instances.
    let (program, owner) = (script_path("ssh-host-key"), format!("{instance}.{}", platform.incus.project));
    group.step(
        "host-key",
        "give the instance a host key of its own",
        command(&[&program, "make", &owner], &[&program, "check", &owner], 30_000),
    );

    group.step("folder", "make root's SSH folder", directory("/root/.ssh", 0o700));
    let keys: String = platform.ssh.authorized_keys.iter().map(|key| format!("{}\n", key.trim())).collect();
    group.step(
        "authorized-keys",
        "let the operators' keys in, and no other",
        validated("/root/.ssh/authorized_keys", 0o600, keys, &["ssh-keygen", "-l", "-f", "{}"]),
    );

    let sources: Vec<String> = platform.ssh.allow_from.iter().map(|net| net.trunc().to_string()).collect();
    let config = render("sshd.conf.j2", include_str!("sshd.conf.j2"), context! { sources => &sources })?;
    let program = script_path("sshd-check");
    let check: Vec<&str> = [program.as_str(), "{}"].into_iter().chain(sources.iter().map(String::as_str)).collect();
    group.step("hardening", "harden the SSH server", validated(DROP_IN, 0o644, config, &check));
    group.step("service", "run the SSH server", running("ssh.service", &[HOST_KEY], &[DROP_IN]));
    Ok(group)
}
