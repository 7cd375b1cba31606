//! A bare machine becomes a server, and a page is served from it: by SSH, then by HTTPS with a restricted certificate.
//!
//! The machine is played by an instance that may nest instances. What makes it one of its kind is only that its range of
//! user ids is smaller, and that its pool is a folder, since it has no disks.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{A, Lab, archive, events, incus, program, said, with_input};
use crate::secrets::{found_by, markers_of};

const PROJECT: &str = "bascule-test-hosts";
const BRIDGE: &str = "bslt-hosts";
const GATEWAY: &str = "10.99.34.1";
const ADDRESS: &str = "10.99.34.20";

#[test]
fn a_bare_machine_becomes_a_server_that_a_restricted_certificate_brings_a_platform_up_on() {
    let host = Host::bare();
    let site = Site::new();

    // Nothing is asked of a machine that nobody has compared the key of.
    let output = site.run(&["host", "up"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("bascule host pin h1"), "{}", said(&output));
    let output = site.run(&["host", "pin", "h1", "--fingerprint", "SHA256:of-another-key"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    site.ok(&["host", "pin", "h1", "--fingerprint", &host.fingerprint()]);

    // Killed in the middle of apt, run again, it converges; then it changes nothing.
    assert!(site.kill_at_step(&["host", "up"], "host/incus/packages"), "Incus was there already");
    site.ok(&["host", "up"]);
    for verb in ["up", "plan"] {
        let summary = site.summary(&["host", verb]);
        assert_eq!((&summary["changed"], &summary["failed"]), (&0.into(), &0.into()), "{verb}: {summary}");
    }
    assert!(site.path("env/h.incus.pem").exists(), "the daemon's certificate was not brought");
    assert!(site.path("env/h.client.pem").exists(), "the operators' certificate was not made");
    for unit in ["incus", "ssh", "fail2ban", "bascule-firewall"] {
        host.shell(&format!("systemctl is-active {unit}"));
    }

    // A firewall that somebody took away is seen, and put back.
    host.shell("nft delete table inet bascule");
    assert_ne!(site.summary(&["host", "plan"])["changed"], 0);
    site.ok(&["host", "up"]);
    host.shell("nft list table inet bascule | grep -q 'policy drop'");
    assert_eq!(site.summary(&["host", "plan"])["changed"], 0);

    // The platform, by HTTPS.
    host.seed_images();
    site.ok(&["up"]);
    site.ok(&["deploy", A]);
    assert_eq!(site.summary(&["up"])["changed"], 0);
    let page = host.shell("curl --silent --fail --max-time 5 http://10.99.0.10/");
    assert!(page.contains("<title>A page from afar"), "{page}");

    // Instances get names from their host, and no way into it.
    let inside = |line: &str| site.run(&["exec", "web-1", "--", "sh", "-c", line]).status.code();
    assert_eq!(inside("getent hosts lb-1.incus"), Some(0));
    for port in [22, 8443, 9100] {
        let knock = format!("timeout 3 bash -c '</dev/tcp/{ADDRESS}/{port}'");
        assert_ne!(inside(&knock), Some(0), "port {port} of the host is open to its instances");
    }

    // The ops instance may come to Incus, and renews by itself what is due.
    let certificates = ["/etc/nginx/tls.pem", "/etc/prometheus/node-exporter.pem"];
    let renew = ["exec", "ops-1", "--", "systemctl", "start", "bascule-renew.service"];
    assert_eq!(inside(&format!("rm {}", certificates.join(" "))), Some(0));
    site.ok(&renew);
    assert_eq!(inside(&format!("ls {}", certificates.join(" "))), Some(0), "{}", site.ok(&["logs", "ops-1"]));
    assert_eq!(site.summary(&["up"])["changed"], 0);
    // Nothing else: what somebody changed by hand is left for `up`.
    assert_eq!(inside("echo '# by hand' >>/etc/nginx/nginx.conf; rm /etc/nginx/tls.pem"), Some(0));
    site.ok(&renew);
    assert_eq!(inside("grep -q 'by hand' /etc/nginx/nginx.conf && test -s /etc/nginx/tls.pem"), Some(0));
    site.ok(&["up"]);
    // One that fails is seen by `status` until it was mended.
    site.ok(&["exec", "ops-1", "--", "rm", "/etc/bascule/ops/age.key"]);
    assert_ne!(site.run(&renew).status.code(), Some(0));
    let output = site.run(&["status"]);
    assert!(said(&output).contains("the last renewal failed"), "{}", said(&output));
    site.ok(&["up"]);
    site.ok(&renew);
    site.ok(&["status"]);

    // What is secret lies with the ops instance alone, and of that only what opens the rest; nothing of it on the host.
    let markers = markers_of(|verb| site.run(&[&["secrets"], verb].concat()), &site.path("age.key"));
    assert!(markers.len() >= 6, "{} markers", markers.len());
    for name in ["lb-1", "web-1", "ops-1"] {
        let found = found_by(&markers, |script| site.command(&["exec", name, "--", "sh", "-c", script]));
        let expected: &[&str] = if name == "ops-1" { &["/etc/bascule/ops/age.key"] } else { &[] };
        assert_eq!(found, expected, "on {name}");
    }
    assert_eq!(found_by(&markers, Host::command), <[&str; 0]>::default());
    for path in ["instances?recursion=2&all-projects=true", "projects?recursion=1", "certificates?recursion=1"] {
        let known = host.shell(&format!("incus query '/1.0/{path}'"));
        assert!(known.len() > 2 && !markers.iter().any(|marker| known.contains(marker)), "in Incus: {path}");
    }

    // Another machine has the clone and its age key, and no artifact.
    let elsewhere = site.cloned();
    elsewhere.ok(&["status"]);
    for verb in ["plan", "up"] {
        let summary = elsewhere.summary(&[verb]);
        assert_eq!((&summary["changed"], &summary["failed"]), (&0.into(), &0.into()), "{verb}: {summary}");
    }
    // What a replica has unpacked nobody needs to bring, though it was stopped meanwhile.
    host.shell("incus stop web-1 --project site");
    let output = elsewhere.run(&["status"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_ne!(elsewhere.summary(&["plan"])["changed"], 0);
    elsewhere.ok(&["up"]);
    elsewhere.ok(&["status"]);
    assert_eq!(elsewhere.summary(&["up"])["changed"], 0);
    let page = host.shell("curl --silent --fail --max-time 5 http://10.99.0.10/");
    assert!(page.contains("<title>A page from afar"), "{page}");

    // The host itself can be asked from within, without SSH, and finds the same.
    host.push(&program(), "/root/");
    host.push(&elsewhere.folder, "/root/");
    host.push(&elsewhere.home.as_ref().unwrap().path().join("age.key"), "/root/");
    let local = "cd /root/clone; echo 'transport = \"local\"' >>env/h.toml; chmod 600 /root/age.key
                 /root/bascule --env h --age-key /root/age.key host up --output json | tail -n 1";
    let summary: Value = serde_json::from_str(&host.shell(local)).unwrap();
    assert_eq!((&summary["changed"], &summary["failed"]), (&0.into(), &0.into()), "{summary}");

    // The operators' key can be drawn anew: the host trusts the new one in place of the old one.
    let trusted = || host.shell("incus query /1.0/certificates?recursion=1");
    let before = fs::read_to_string(site.path("env/h.client.pem")).unwrap();
    let draw = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1";
    let key = Command::new("openssl").args(draw.split(' ')).output().unwrap().stdout;
    let set = with_input(&mut site.command(&["secrets", "set", "bascule/incus/client.key"]), &key);
    assert!(set.status.success(), "{}", said(&set));
    fs::remove_file(site.path("env/h.client.pem")).unwrap();
    site.ok(&["host", "up"]);
    // The ops instance has a copy of the secrets.
    site.ok(&["up"]);
    assert_eq!(site.summary(&["up"])["changed"], 0);
    assert_ne!(fs::read_to_string(site.path("env/h.client.pem")).unwrap(), before);
    assert_eq!(trusted().matches("\"fingerprint\"").count(), 2, "{}", trusted());

    // Nor does the host trust an ops instance that is no more.
    let overlay = fs::read_to_string(site.path("env/h.toml")).unwrap();
    fs::write(site.path("env/h.toml"), overlay.replace("[ops]\naddresses = [\"10.99.0.20\"]\n", "")).unwrap();
    site.ok(&["host", "up"]);
    assert_eq!(trusted().matches("\"fingerprint\"").count(), 1, "{}", trusted());
    assert_eq!(site.summary(&["host", "plan"])["changed"], 0);

    // What the host's administrator made is not the certificate's to remove.
    let said_of_down = site.ok(&["down", "--yes-destroy", "h"]);
    assert!(said_of_down.contains("certificate may not remove them"), "{said_of_down}");
    assert_eq!(host.shell("incus list --project site --format csv"), "");

    // Another key is somebody else, whatever the address.
    host.shell("rm /etc/ssh/ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh");
    let output = site.run(&["host", "plan"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("shows another key than the one in"), "{}", said(&output));
}

/// The machine, as somebody with its console sees it.
struct Host;

impl Host {
    /// Debian as it comes, with an SSH server that lets the operator in.
    fn bare() -> Self {
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
    fn shell(&self, line: &str) -> String {
        incus(&["exec", "h1", "--project", PROJECT, "--", "sh", "-ec", line])
    }

    /// Brings a file or a folder.
    fn push(&self, path: &Path, folder: &str) {
        let path = path.to_str().unwrap();
        incus(&["file", "push", "--recursive", "--quiet", path, &format!("h1{folder}"), "--project", PROJECT]);
    }

    /// A shell's script on it, to be run by whoever has an input for it.
    fn command(script: &str) -> Command {
        let mut command = Command::new("incus");
        command.args(["exec", "h1", "--project", PROJECT, "--", "sh", "-c", script]);
        command
    }

    fn fingerprint(&self) -> String {
        let said = self.shell("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub");
        said.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// Images are a cache: those that this machine has need not be made again in there, which takes minutes.
    fn seed_images(&self) {
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

/// The platform that shall live there, as a machine of an operator has it: one page behind one load balancer.
struct Site {
    folder: PathBuf,
    /// Another one's home: only the age key is in it. Absent for the first, who works as whoever runs the tests.
    home: Option<TempDir>,
}

impl Site {
    fn new() -> Self {
        let site = Self { folder: folder(), home: None };
        // What a run before has pinned, made and drawn was for another machine.
        let _ = fs::remove_dir_all(site.path("env"));
        fs::create_dir_all(site.path("env")).unwrap();
        fs::create_dir_all(site.path("artifacts").join(A)).unwrap();
        fs::write(site.path("platform.toml"), PLATFORM).unwrap();
        let overlay = OVERLAY.replace("ADDRESS", ADDRESS).replace("GATEWAY", GATEWAY);
        fs::write(site.path("env/h.toml"), overlay).unwrap();
        let mut init = site.command(&["init"]);
        assert!(init.arg(&site.folder).output().unwrap().status.success());
        let version = format!("{{\"commit\":\"{A}\"}}");
        let files = [
            ("index.html", "<!doctype html><title>A page from afar</title>", "0644"),
            ("version.json", &version, "0644"),
        ];
        archive(&site.path("artifacts").join(A).join("web.tar.gz"), &files);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The same on another machine: what git holds of it, and an age key.
    fn cloned(&self) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clone = Self { folder: home.path().join("clone"), home: None };
        fs::create_dir_all(clone.path("env")).unwrap();
        let committed = ["known_hosts", "incus.pem", "client.pem", "ca.pem", "ops.pem", "secrets.age", "toml"];
        let committed = committed.map(|kind| format!("env/h.{kind}"));
        let committed = committed.iter().map(String::as_str);
        for file in committed.chain(["platform.toml", "recipients.toml", "operator.pub"]) {
            fs::copy(self.path(file), clone.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        fs::copy(self.path("age.key"), home.path().join("age.key")).unwrap();
        Self { home: Some(home), ..clone }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("--platform").arg(self.path("platform.toml")).args(["--env", "h"]).args(arguments);
        command.stdin(Stdio::null());
        match &self.home {
            None => {
                command.env("BASCULE_AGE_KEY_FILE", self.path("age.key")).env("BASCULE_SSH_IDENTITY", operator_key())
            }
            Some(home) => {
                let home = home.path();
                for of_the_first in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "BASCULE_SSH_IDENTITY", "SSH_AUTH_SOCK"] {
                    command.env_remove(of_the_first);
                }
                command.env("BASCULE_AGE_KEY_FILE", home.join("age.key")).env("HOME", home)
            }
        };
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    fn summary(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        events(&output).pop().unwrap_or_else(|| panic!("{}", said(&output)))
    }

    /// Runs a verb and kills it, as `kill -9` does, right after a step began. True if it was killed.
    fn kill_at_step(&self, arguments: &[&str], step: &str) -> bool {
        let arguments = [arguments, &["--output", "json"]].concat();
        let mut child = self.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = lines.map_while(Result::ok).any(|line| {
            let event: Value = serde_json::from_str(&line).unwrap();
            event["type"] == "step_began" && event["step"] == step
        });
        // Apt is under way by now, and goes on by itself.
        std::thread::sleep(Duration::from_secs(1));
        let _ = child.kill();
        child.wait().unwrap();
        found
    }
}

const PLATFORM: &str = r#"
name = "site"

[network]
bridge = "site"
subnet = "10.99.0.0/24"

[release]
artifacts = "artifacts"

[load_balancer]
topology = "multi-instance"
connections_max = 1000

[component.web]
kind = "static"
replicas = 1
default = true
"#;

const OVERLAY: &str = r#"
[incus]
project = "site"
address = "ADDRESS"
server_certificate_file = "h.incus.pem"
client_certificate_file = "h.client.pem"

[ssh]
allow_from = ["GATEWAY"]
authorized_keys_file = "../operator.pub"

[ops]
addresses = ["10.99.0.20"]

[hosts.h1]
address = "ADDRESS"
pool_source = "/var/lib/incus/storage-pools/default"
"#;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab-hosts")
}

fn operator_key() -> PathBuf {
    let key = folder().join("operator");
    if !key.exists() {
        fs::create_dir_all(folder()).unwrap();
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
    }
    key
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
