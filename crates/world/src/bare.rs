//! Bare Debian machines, and what Incus is on them as far as `host up` asks.

use std::collections::{BTreeMap, BTreeSet};

use bascule_agent::Finished;
use bascule_agent::fake::{Machine, Package};
use bascule_roles::HostFacts;
use bascule_spec::Platform;

use crate::behaviour::{SCRIPTS, furnish_firewall};

pub(crate) const PACKAGES: [&str; 1] = ["openssh-server"];
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
/// What Incus knows, one thing a line. A change of it is whole and synced, as with the real one.
const DATABASE: &str = "/var/lib/incus/database";
/// Debian 12 has these in its backports only.
const OF_BACKPORTS: [&str; 2] = ["incus-base", "incus-client"];
const BACKPORTS: &str = "/etc/apt/sources.list.d/bascule-backports.sources";

/// What planning has to know of the hosts: in turn they have Debian 12 and 13.
pub(crate) fn facts(platform: &Platform) -> BTreeMap<String, HostFacts> {
    let facts = |n: usize| HostFacts {
        debian: if n.is_multiple_of(2) { 12 } else { 13 },
        container: false,
        operator: platform.ssh.allow_from.first().and_then(|network| network.hosts().next()),
        mtu: Some(1_400),
        kernel: "6.12.48+deb13-amd64".to_owned(),
        archive: "http://deb.debian.org/debian".to_owned(),
    };
    platform.hosts.iter().enumerate().map(|(n, host)| (host.name.clone(), facts(n))).collect()
}

/// The first thing that `host up` does was done.
pub(crate) fn is_begun(machine: &Machine) -> bool {
    machine.content("/etc/systemd/journald.conf.d/zz-bascule.conf").is_some()
}

/// Makes a machine with Debian's SSH server a bare host. One with Debian 12 lost its power when it made its key.
pub(crate) fn furnish(machine: &Machine, facts: &HostFacts) {
    for (key, value) in KERNEL {
        machine.put_sysctl(key, value);
    }
    machine.provide("incus-base", Package { units: vec!["incus.service".to_owned()], ..Package::default() });
    machine.put_file(HOST_KEY, if facts.debian == 12 { "" } else { "the key of its first boot" });
    furnish_apt(machine, facts);
    furnish_ssh(machine);
    furnish_firewall(machine);
    machine.on_command("/usr/sbin/nft", |machine, _| exit(machine.has_package("nftables"), "nft: not found"));
    machine.on_command("incus", |machine, _| exit(incus_answers(machine), "Incus does not answer"));
    incus_script(machine, "incus-pool", pool);
    incus_script(machine, "incus-object", object);
    incus_script(machine, "incus-trust", trust);
    machine.on_tcp(|machine, address| {
        let listens = match address.rsplit_once(':') {
            Some((_, "9100")) => machine.is_active("prometheus-node-exporter.service"),
            _ => {
                incus_answers(machine) && database(machine).contains(&format!("server - core.https_address={address}"))
            }
        };
        if listens { Ok(()) } else { Err("connection refused".to_owned()) }
    });
}

fn furnish_apt(machine: &Machine, facts: &HostFacts) {
    if facts.debian == 12 {
        OF_BACKPORTS.iter().for_each(|name| machine.withhold(name));
    }
    script(machine, "apt-lists", |machine, _| {
        if machine.content(BACKPORTS).is_some_and(|sources| sources.contains("bookworm-backports")) {
            OF_BACKPORTS.iter().for_each(|name| machine.offer(name));
        }
        exit(true, "")
    });
    machine.on_command("apt-cache", |machine, argv| {
        exit(argv[2..].iter().all(|name| machine.offers(name)), "E: No packages found")
    });
}

fn furnish_ssh(machine: &Machine) {
    let holds = |machine: &Machine, path: &str| machine.content(path).is_some_and(|content| !content.is_empty());
    machine.on_command("test", move |machine, argv| exit(argv[1] == "-s" && holds(machine, &argv[2]), ""));
    machine.on_command("ssh-keygen", move |machine, argv| {
        let has = |word: &str| argv.iter().any(|given| given == word);
        let path = argv.last().map_or("", String::as_str);
        if has("-l") {
            return exit(
                machine.content(path).is_some_and(|keys| keys.contains("ssh-ed25519 ")),
                "is not a public key",
            );
        }
        // It asks before it writes over what is there, and nobody answers; unless it is to make what is missing.
        if !has("-A") && machine.content(path).is_some() {
            return exit(false, "Overwrite (y/n)?");
        }
        if !holds(machine, HOST_KEY) {
            machine.put_file(HOST_KEY, "a key");
            machine.put_file(&format!("{HOST_KEY}.pub"), "ssh-ed25519 KEY");
        }
        exit(true, "")
    });
    script(machine, "sshd-check", move |machine, _| {
        exit(holds(machine, HOST_KEY) && holds(machine, "/root/.ssh/authorized_keys"), "nobody could log in")
    });
}

fn pool(machine: &Machine, argv: &[String]) -> Finished {
    let mut known = database(machine);
    let mut pools = known.iter().filter_map(|line| line.strip_prefix("pool ")?.split(' ').next());
    match argv {
        [check, pool] if check == "check" => exit(pools.any(|name| name == pool), "there is no such pool"),
        [_, pool, driver, how, what] if pools.next().is_none() => {
            known.insert(format!("pool {pool} {driver} {how}={what}"));
            record(machine, &known)
        }
        _ => exit(false, "Incus was set up by somebody else"),
    }
}

fn object(machine: &Machine, argv: &[String]) -> Finished {
    let [verb, kind, name, settings @ ..] = argv else { return exit(false, "usage") };
    let mut known = database(machine);
    let object = format!("{kind} {name}");
    let setting = |setting: &String| format!("{object} {setting}");
    if verb == "check" {
        let exists = kind == "server" || known.contains(&object);
        let has = |setting| known.contains(&setting);
        return exit(exists && settings.iter().map(setting).all(has), "it differs");
    }
    for new in settings.iter().map(setting) {
        let key = new.split_once('=').map_or(new.as_str(), |(key, _)| key);
        known.retain(|line| line.split_once('=').is_none_or(|(other, _)| other != key));
        known.insert(new);
    }
    known.insert(object);
    record(machine, &known)
}

fn trust(machine: &Machine, argv: &[String]) -> Finished {
    let (verb, name, wanted) = match argv {
        [verb, name] => (verb, name, None),
        [verb, name, project, fingerprint, path @ ..] => (verb, name, Some((project, fingerprint, path.first()))),
        _ => return exit(false, "usage"),
    };
    let mut known = database(machine);
    let name = format!("trust {name} ");
    if verb == "check" {
        let found: Vec<&String> = known.iter().filter(|line| line.starts_with(&name)).collect();
        let wanted = wanted.map(|(project, fingerprint, _)| format!("{name}{fingerprint} yes {project}"));
        return exit(found == wanted.iter().collect::<Vec<_>>(), "another certificate is trusted");
    }
    known.retain(|line| !line.starts_with(&name));
    record(machine, &known);
    let Some((project, _, path)) = wanted else { return exit(true, "") };
    machine.may_be_killed();
    let pem = path.and_then(|path| machine.content(path)).unwrap_or_default();
    let Ok(fingerprint) = bascule_incus::fingerprint(&pem) else { return exit(false, "this is no certificate") };
    if known.iter().any(|line| line.starts_with("trust ") && line.contains(&fingerprint)) {
        return exit(false, "the certificate is trusted already");
    }
    known.insert(format!("{name}{fingerprint} yes {project}"));
    record(machine, &known)
}

/// A program of the platform's, once it was put in place.
fn script(machine: &Machine, name: &str, body: impl Fn(&Machine, &[String]) -> Finished + Send + Sync + 'static) {
    let path = format!("{SCRIPTS}/{name}");
    machine.on_command(&path.clone(), move |machine, argv| match machine.content(&path) {
        Some(_) => body(machine, &argv[1..]),
        None => Finished::exited(127, "not found"),
    });
}

/// One that asks Incus.
fn incus_script(machine: &Machine, name: &str, body: fn(&Machine, &[String]) -> Finished) {
    script(machine, name, move |machine, argv| match incus_answers(machine) {
        true => body(machine, argv),
        false => exit(false, "Incus does not answer"),
    });
}

fn incus_answers(machine: &Machine) -> bool {
    machine.has_package("incus-client") && machine.is_active("incus.service")
}

fn database(machine: &Machine) -> BTreeSet<String> {
    machine.content(DATABASE).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn record(machine: &Machine, known: &BTreeSet<String>) -> Finished {
    let lines: Vec<&str> = known.iter().map(String::as_str).collect();
    machine.put_file(DATABASE, lines.join("\n"));
    exit(true, "")
}

fn exit(is_well: bool, otherwise: &str) -> Finished {
    Finished::exited(i32::from(!is_well), if is_well { "" } else { otherwise })
}

/// Settings with the value that a fresh machine has, beside those that an instance has.
const KERNEL: [(&str, &str); 13] = [
    ("fs.aio-max-nr", "65536"),
    ("fs.inotify.max_queued_events", "16384"),
    ("fs.inotify.max_user_instances", "128"),
    ("fs.inotify.max_user_watches", "65536"),
    ("kernel.keys.maxbytes", "20000"),
    ("kernel.keys.maxkeys", "200"),
    ("net.ipv4.conf.all.log_martians", "0"),
    ("net.ipv4.conf.all.send_redirects", "1"),
    ("net.ipv4.conf.default.accept_redirects", "1"),
    ("net.ipv4.conf.default.accept_source_route", "1"),
    ("net.ipv4.conf.default.log_martians", "0"),
    ("net.ipv4.neigh.default.gc_thresh3", "1024"),
    ("vm.max_map_count", "65530"),
];
