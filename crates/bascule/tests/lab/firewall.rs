//! Tries every port of every instance from everywhere: what the platform file implies is let in, and nothing else.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use bascule_spec::{Instance, Platform, Role};

use crate::lab::{Lab, incus};

/// A port that no part of the platform has, with a listener planted on it.
const PLANTED: u16 = 8099;
/// Where load balancers tell each other their generation.
const PEER_PORT: u16 = 8405;
const LIMIT: Duration = Duration::from_secs(1);

#[test]
fn an_instance_lets_in_what_the_platform_file_implies_and_nothing_else() {
    let (_guard, lab) = Lab::shop();
    let platform = lab.platform();
    let mut doors = Vec::new();
    for instance in &platform.instances {
        let name = instance.name.as_str();
        let plant = format!(
            "systemctl is-active -q planted || systemd-run -q --unit planted python3 -m http.server {PLANTED}; \
             for try in $(seq 50); do ss -Hltn 'sport = {PLANTED}' | grep -q . && break; sleep 0.1; done; \
             ss -Hltn | awk '$4 !~ /^127[.]/ {{ sub(/.*:/, \"\", $4); print $4 }}' | sort -un"
        );
        let listening = lab.shell(name, &plant);
        let address: Ipv4Addr = lab.address(name).parse().unwrap();
        let ports: Vec<u16> = listening.lines().map(|port| port.parse().unwrap()).collect();
        assert!(ports.contains(&22) && ports.contains(&PLANTED), "{name} listens on {listening}");
        doors.extend(ports.into_iter().map(|port| Door { to: instance, address, port }));
    }

    let (mut tried, mut wrong) = (BTreeMap::new(), Vec::new());
    let mut judge = |from: &str, door: &Door<'_>, implied: bool, open: bool| {
        *tried.entry(implied).or_insert(0) += 1;
        if implied != open {
            let found = if open { "is let in, and should not be" } else { "should be let in, and is not" };
            wrong.push(format!("{from} -> {}:{} {found}", door.to.name, door.port));
        }
    };
    let host = platform.network.gateway;
    for door in &doors {
        judge("the host", door, door.implied(&platform, host, None), door.is_open());
    }
    for from in &platform.instances {
        let address: Ipv4Addr = lab.address(&from.name).parse().unwrap();
        let others: Vec<&Door<'_>> = doors.iter().filter(|door| door.to.name != from.name).collect();
        let open = open_doors(&lab, &from.name, &others);
        for door in others {
            let is_open = open.contains(&(door.address, door.port));
            judge(&from.name, door, door.implied(&platform, address, Some(from)), is_open);
        }
    }
    for instance in &platform.instances {
        lab.shell(&instance.name, "systemctl stop planted");
    }
    eprintln!("firewall: {} ways tried that are implied, {} that are not", tried[&true], tried[&false]);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A port on which an instance listens.
struct Door<'a> {
    to: &'a Instance,
    address: Ipv4Addr,
    port: u16,
}

impl Door<'_> {
    /// Whether somebody at an address (an instance, or none) should get through, as a person reads it in the platform file.
    fn implied(&self, platform: &Platform, from: Ipv4Addr, who: Option<&Instance>) -> bool {
        let balances = who.is_some_and(|instance| instance.role == Role::LoadBalancer);
        match &self.to.role {
            _ if self.port == 22 => platform.ssh.allow_from.iter().any(|network| network.contains(&from)),
            Role::LoadBalancer if self.port == PEER_PORT => balances,
            Role::LoadBalancer => {
                let tls = platform.load_balancer.tls.as_ref().map(|tls| tls.port);
                self.port == platform.load_balancer.port || Some(self.port) == tls
            }
            Role::Component { component, .. } => {
                balances && platform.component(component).is_some_and(|component| component.port == self.port)
            }
            Role::Plain { .. } | Role::Redis | Role::Postgres | Role::PostgresMonitor | Role::Pooler => false,
            Role::Store | Role::StoreWitness | Role::Edge | Role::Ops => false,
        }
    }

    fn is_open(&self) -> bool {
        TcpStream::connect_timeout(&SocketAddr::from((self.address, self.port)), LIMIT).is_ok()
    }
}

/// The doors that an instance gets through, all tried at once.
fn open_doors(lab: &Lab, from: &str, doors: &[&Door<'_>]) -> Vec<(Ipv4Addr, u16)> {
    let list: Vec<String> = doors.iter().map(|door| format!("{}/{}", door.address, door.port)).collect();
    let line = format!(
        "for door in {}; do (timeout {} bash -c \": </dev/tcp/$door\" 2>/dev/null && echo $door) & done; wait",
        list.join(" "),
        LIMIT.as_secs()
    );
    let open = lab.shell(from, &line);
    let parse =
        |line: &str| line.split_once('/').map(|(address, port)| (address.parse().unwrap(), port.parse().unwrap()));
    open.lines().filter_map(parse).collect()
}

#[test]
fn the_firewall_is_there_after_a_reboot_and_up_mends_one_that_was_taken_down() {
    let (_guard, lab) = Lab::shop();
    let (name, project) = ("web-blue-1", lab.project());
    let drops = |line: &str| lab.shell(name, &format!("nft list table inet bascule 2>&1 | grep -c '{line}'"));
    incus(&["restart", name, "--project", &project]);
    // Early in the boot there is nobody to ask yet.
    lab.shell(name, "for try in $(seq 150); do systemctl is-system-running --wait && break; sleep 0.2; done");
    assert_eq!(drops("policy drop"), "1", "after a reboot");

    lab.shell(name, "nft delete table inet bascule");
    assert_eq!(drops("policy drop"), "0");
    let summary = lab.summary(&["up", "--only", "common/firewall"]);
    assert_eq!((summary["changed"].as_u64(), summary["failed"].as_u64()), (Some(1), Some(0)), "{summary}");
    assert_eq!(drops("policy drop"), "1");

    lab.shell(name, "nft add rule inet bascule input tcp dport 9 accept");
    assert_eq!(lab.summary(&["up", "--only", "common/firewall"])["changed"], 1);
    assert_eq!(drops("dport 9 "), "0", "a rule that somebody added by hand is gone");
    assert_eq!(lab.summary(&["up", "--only", "common/firewall"])["changed"], 0);
    lab.ok(&["up"]);
}

#[test]
fn loading_the_firewall_leaves_the_bans_of_fail2ban_alone() {
    let (_guard, lab) = Lab::shop();
    let banned = "10.99.32.250";
    lab.shell("lb-1", &format!("fail2ban-client set sshd banip {banned}"));
    lab.shell("lb-1", "/usr/local/lib/bascule/firewall load");
    let bans = lab.shell("lb-1", "nft list ruleset | grep -A30 f2b");
    lab.shell("lb-1", &format!("fail2ban-client set sshd unbanip {banned}"));
    assert!(bans.contains(banned), "{bans}");
}

impl Lab {
    /// The platform file, as the tool reads it.
    fn platform(&self) -> Platform {
        struct Disk;
        impl bascule_spec::Files for Disk {
            fn read(&self, path: &Path) -> Result<String, String> {
                std::fs::read_to_string(path).map_err(|error| error.to_string())
            }
            fn list(&self, folder: &Path) -> Vec<String> {
                let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
        }
        bascule_spec::load(&Disk, &self.platform_file(), self.environment).unwrap_or_else(|wrong| panic!("{wrong}"))
    }
}
