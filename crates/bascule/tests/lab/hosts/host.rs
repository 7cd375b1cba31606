use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::site::operator_key;
use crate::lab::{Lab, incus};

const PROJECT: &str = "bascule-test-hosts";
const BRIDGE: &str = "bslt-hosts";
pub(super) const GATEWAY: &str = "10.99.34.1";
pub(super) const ADDRESS: &str = "10.99.34.20";

/// The machine, as somebody with its console sees it.
pub(super) struct Host;

impl Host {
    /// Debian as it comes, with an SSH server that lets the operator in.
    pub(super) fn bare() -> Self {
        // Another Debian can play the machine, too: CONTRIBUTING.md says how.
        let base = std::env::var("HOST_IMAGE").unwrap_or_else(|_| base_image());
        let project = incus(&["project", "list", "--format", "csv"]);
        if !project.lines().any(|line| line.starts_with(PROJECT)) {
            incus(&["project", "create", PROJECT, "-c", "features.images=false", "-c", "features.networks=false"]);
        }
        if !incus(&["network", "list", "--format", "csv"]).lines().any(|line| line.starts_with(BRIDGE)) {
            let address = format!("ipv4.address={GATEWAY}/24");
            let owner = format!("user.bascule.project={PROJECT}");
            let mtu = format!("bridge.mtu={}", uplink_mtu());
            incus(&["network", "create", BRIDGE, &address, "ipv4.nat=true", "ipv6.address=none", &owner, &mtu]);
        }
        let _ = Command::new("incus").args(["delete", "--force", "h1", "--project", PROJECT]).output();
        incus(&[
            "init",
            &base,
            "h1",
            "-c",
            "security.nesting=true",
            "--network",
            BRIDGE,
            "--storage",
            "default",
            "--project",
            PROJECT,
        ]);
        // The same hardware address in every run: this machine still knows the one of the run before.
        let address = format!("ipv4.address={ADDRESS}");
        let hardware = "hwaddr=02:00:5e:63:22:14";
        incus(&["config", "device", "set", "h1", "eth0", &address, hardware, "--project", PROJECT]);
        incus(&["start", "h1", "--project", PROJECT]);
        let host = Self;
        host.shell("for try in $(seq 100); do ip -4 route | grep -q default && break; sleep 0.2; done");
        host.shell("echo root:1000000:100000000 | tee /etc/subuid >/etc/subgid");
        host.shell("apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends openssh-server >/dev/null");
        let key = fs::read_to_string(operator_key().with_extension("pub")).unwrap();
        host.shell(&format!("mkdir -p -m 700 /root/.ssh; echo '{}' >/root/.ssh/authorized_keys", key.trim()));
        host
    }

    /// Runs a shell line on it, which has to end well, and gives what it printed.
    pub(super) fn shell(&self, line: &str) -> String {
        incus(&["exec", "h1", "--project", PROJECT, "--", "sh", "-ec", line])
    }

    /// Brings a file or a folder.
    pub(super) fn push(&self, path: &Path, folder: &str) {
        let path = path.to_str().unwrap();
        incus(&["file", "push", "--recursive", "--quiet", path, &format!("h1{folder}"), "--project", PROJECT]);
    }

    /// A shell's script on it, to be run by whoever has an input for it.
    pub(super) fn command(script: &str) -> Command {
        let mut command = Command::new("incus");
        command.args(["exec", "h1", "--project", PROJECT, "--", "sh", "-c", script]);
        command
    }

    pub(super) fn fingerprint(&self) -> String {
        let said = self.shell("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub");
        said.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// Images are a cache: those that this machine has need not be made again in there, which takes minutes.
    pub(super) fn seed_images(&self) {
        let listed: Value = serde_json::from_str(&incus(&["image", "list", "--format", "json"])).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for image in listed.as_array().unwrap() {
            let description = image["properties"]["description"].as_str().unwrap_or_default();
            let wanted = description.contains("haproxy") || description.contains("nginx,");
            let Some(alias) = image["aliases"][0]["name"].as_str().filter(|_| wanted) else { continue };
            let (file, inside) = (folder.path().join("image"), "/root/image.tar");
            incus(&["image", "export", alias, file.to_str().unwrap()]);
            // Incus gives it the ending of what it is.
            let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
            incus(&["file", "push", "--quiet", file.to_str().unwrap(), &format!("h1{inside}"), "--project", PROJECT]);
            fs::remove_file(file).unwrap();
            self.shell(&format!("incus image import {inside} --alias {alias} --project site; rm {inside}"));
        }
    }
}

/// The image that the tool makes by itself, which another environment makes where it is missing.
fn base_image() -> String {
    let find = || {
        let listed = incus(&["image", "alias", "list", "--format", "csv"]);
        let alias = listed.lines().find(|line| line.starts_with("bascule/base-"))?;
        Some(alias.split(',').next().unwrap().to_owned())
    };
    find()
        .or_else(|| {
            drop(Lab::shop());
            find()
        })
        .expect("`up` made no base image")
}

fn uplink_mtu() -> String {
    let routes = fs::read_to_string("/proc/net/route").unwrap();
    let fields = routes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let card = fields.into_iter().find(|fields| fields.get(1) == Some(&"00000000")).map(|fields| fields[0].to_owned());
    let mtu = card.and_then(|card| fs::read_to_string(format!("/sys/class/net/{card}/mtu")).ok());
    mtu.map_or_else(|| "1500".to_owned(), |mtu| mtu.trim().to_owned())
}
