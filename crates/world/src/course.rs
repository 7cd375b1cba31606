//! What a seed draws: a platform, what is asked of it, and what is in the way.

use std::fmt::{self, Write as _};

use crate::dice::Dice;
use crate::verbs::Verb;

/// A platform, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) platform: String,
    pub(crate) warm_up_ms: u64,
    pub(crate) acts: Vec<Act>,
}

/// One verb, what was done to the world right before it, and what disturbs it.
#[derive(Debug)]
pub(crate) struct Act {
    pub(crate) before: Option<Before>,
    pub(crate) verb: Verb,
    pub(crate) disturbance: Disturbance,
}

#[derive(Clone, Debug)]
pub(crate) enum Before {
    /// All secrets get other values.
    Rotation,
    /// The commit that is deployed next never becomes healthy.
    Sickness(String),
    /// The instance of this number, of those that exist, loses its power and stays off. A host boots again.
    PowerOff(usize),
    /// Somebody removes a file on the instance of this number.
    Removed(usize, &'static str),
    /// A service dies on the instance of this number, and stays dead.
    Died(usize, &'static str),
}

/// What disturbs a verb; in an undisturbed world nothing does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disturbance {
    /// The tool is killed after this share, of a million, of the events that an undisturbed run has.
    pub(crate) kill: Option<u64>,
    /// Answers, agents and machines fail.
    pub(crate) chaos: bool,
    /// The instance of this number loses its power after this share of the time that an undisturbed run takes.
    pub(crate) power_off: Option<(usize, u64)>,
    /// Somebody else runs `up` at the same time, or the same verb, and waits so many seconds for the lock.
    pub(crate) race: Option<(bool, u64)>,
    /// How long it takes until somebody runs it again.
    pub(crate) pause_ms: u64,
}

pub(crate) const MILLION: u64 = 1_000_000;
const COMMITS: [&str; 4] = ["a", "b", "c", "d"];
const FILES: [&str; 4] = [
    "/etc/default/prometheus-node-exporter",
    "/etc/apt/apt.conf.d/60bascule-updates",
    "/etc/haproxy/haproxy.cfg",
    "/etc/redis/bascule.conf",
];
const UNITS: [&str; 5] = [
    "fail2ban.service",
    "prometheus-node-exporter.service",
    "haproxy.service",
    "redis-server.service",
    "redis-sentinel.service",
];

const HOST_FILES: [&str; 4] = [
    "/etc/bascule/firewall.nft",
    "/etc/bascule/trusted/shop-test.pem",
    "/usr/local/lib/bascule/incus-object",
    "/var/lib/incus/database",
];
const HOST_UNITS: [&str; 3] = ["incus.service", "bascule-firewall.service", "ssh.service"];
/// Two hosts, for the end of a platform file: a Debian 12 whose Incus operators reach by HTTPS, and a Debian 13.
pub const HOSTS: &str = r#"
[incus]
address = "192.0.2.11:8443"
server_certificate_file = "incus.pem"
client_certificate_file = "client.pem"

[hosts.h1]
address = "192.0.2.11"

[hosts.h2]
address = "192.0.2.12"
pool_source = "/dev/sdb"
"#;

impl Course {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        if dice.one_in(8) {
            return Self::of_hosts(dice);
        }
        let platform = platform(dice);
        let warm_up_ms = 50 + dice.below(2_000);
        let mut acts = vec![act(None, Verb::Up, dice), act(None, Verb::Deploy(commit("a")), dice)];
        for _ in 0..2 + dice.below(4) {
            acts.push(any_act(dice));
        }
        Self { platform, warm_up_ms, acts }
    }

    /// Bare machines become hosts.
    fn of_hosts(dice: &mut Dice) -> Self {
        let platform = format!("{}{HOSTS}", platform(dice));
        let mut acts = vec![act(None, Verb::HostUp, dice)];
        for _ in 0..1 + dice.below(3) {
            let host = dice.index(1_000);
            let before = match dice.below(3) {
                0 => Before::Removed(host, dice.pick(&HOST_FILES)),
                1 => Before::Died(host, dice.pick(&HOST_UNITS)),
                _ => Before::PowerOff(host),
            };
            acts.push(act(Some(before), Verb::HostUp, dice));
        }
        Self { platform, warm_up_ms: 0, acts }
    }
}

fn any_act(dice: &mut Dice) -> Act {
    let instance = dice.index(1_000);
    let (before, verb) = match dice.below(11) {
        0..=2 => (None, Verb::Deploy(commit(dice.pick(&COMMITS)))),
        3 => (Some(Before::Sickness(commit("e"))), Verb::Deploy(commit("e"))),
        4 => (None, Verb::Rollback),
        5 | 6 => (Some(Before::Rotation), Verb::Up),
        7 => (Some(Before::PowerOff(instance)), Verb::Up),
        8 => (Some(Before::Removed(instance, dice.pick(&FILES))), Verb::Up),
        9 => (Some(Before::Died(instance, dice.pick(&UNITS))), Verb::Up),
        _ => (None, Verb::Renew),
    };
    act(before, verb, dice)
}

fn act(before: Option<Before>, verb: Verb, dice: &mut Dice) -> Act {
    let disturbance = Disturbance {
        kill: dice.one_in(3).then(|| dice.below(MILLION)),
        chaos: dice.one_in(2),
        power_off: dice.one_in(5).then(|| (dice.index(1_000), dice.below(MILLION))),
        race: dice.one_in(5).then(|| (dice.one_in(2), dice.below(900))),
        pause_ms: dice.below(8_000),
    };
    Act { before, verb, disturbance }
}

fn commit(letter: &str) -> String {
    letter.repeat(40)
}

fn platform(dice: &mut Dice) -> String {
    let topology = dice.pick(&["blue-green", "multi-instance"]);
    let load_balancers = 1 + dice.below(2);
    let replicas = 1 + dice.below(3);
    let mut text = format!(
        r#"name = "shop"

[network]
subnet = "10.1.0.0/24"

[ssh]
allow_from = ["10.1.0.0/24"]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH ada"]

[release]
artifacts = "artifacts"

[load_balancer]
topology = "{topology}"
instances = {load_balancers}

[component.api]
kind = "binary"
replicas = {replicas}
port = 8080
routes = ["/api/"]
health = "/api/health"
version = "/api/version"
secrets = ["token"]

[component.web]
kind = "static"
replicas = {}
default = true
"#,
        1 + dice.below(2)
    );
    if dice.one_in(3) {
        text = text.replace("secrets = [\"token\"]", "secrets = [\"token\"]\ntls = true");
    }
    if dice.one_in(3) {
        text.push_str("\n[load_balancer.tls]\nnames = [\"shop.example\"]\n");
    }
    if dice.one_in(4) {
        text = text.replace("secrets = [\"token\"]", "secrets = [\"token\"]\nuses = [\"redis\"]");
        text.push_str("\n[redis]\n");
    }
    if dice.one_in(3) {
        let _ = write!(text, "\n[group.tools]\ninstances = {}\n", 1 + dice.below(2));
    }
    text
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape =
            |key: &str| self.platform.lines().filter(|line| line.starts_with(key)).collect::<Vec<_>>().join(", ");
        writeln!(
            f,
            "{}, {}, {}; warm-up {} ms",
            shape("topology"),
            shape("instances"),
            shape("replicas"),
            self.warm_up_ms
        )?;
        for act in &self.acts {
            let before = act.before.as_ref().map(|before| format!("{before:?}, then ")).unwrap_or_default();
            writeln!(f, "  {before}{:?} under {:?}", act.verb, act.disturbance)?;
        }
        Ok(())
    }
}
