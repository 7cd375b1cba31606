//! What the programs on the machines do: HAProxy with its map and its servers, replicas that answer with their commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use bascule_agent::fake::{Machine, Package};
use bascule_agent::{Finished, HttpAnswer, System as _};
use bascule_spec::{Colour, Component, Instance, Platform, Role, Topology};

use crate::machines::Machines;
use crate::redis;

/// What the firewall loads.
const RULES: &str = "/etc/bascule/firewall.nft";
/// The rules that the kernel has: gone after a boot, as everything below `/run`.
pub(crate) const KERNEL_RULES: &str = "/run/bascule/firewall";
const COLOUR_MAP: &str = "/etc/haproxy/colour.map";
const MAPS: [&str; 2] = [COLOUR_MAP, "/etc/haproxy/generation.map"];
pub(crate) const SCRIPTS: &str = "/usr/local/lib/bascule";
/// HAProxy takes a server for up after two good checks in a row, one every half second.
const CHECKS_MS: u64 = 1_000;

/// What all machines of a world share.
#[derive(Debug)]
pub(crate) struct Model {
    platform: Platform,
    /// How long a program takes from its start to its first answer.
    warm_up_ms: u64,
    addresses: BTreeMap<String, String>,
    /// Where in the platform an instance is.
    places: BTreeMap<String, usize>,
    machines: Weak<Machines>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// HAProxy's maps in memory, by load balancer and path, with the number of starts and reloads they were read at.
    runtime_maps: BTreeMap<(String, String), (u64, String)>,
    /// Commits that never become healthy.
    sick: BTreeSet<String>,
}

impl Model {
    pub(crate) fn new(platform: &Platform, machines: Weak<Machines>, warm_up_ms: u64) -> Self {
        let addresses = bascule_spec::allocate(platform, &BTreeMap::new()).expect("addresses for the platform");
        let addresses = addresses.into_iter().map(|(name, address)| (address.to_string(), name)).collect();
        let places = platform.instances.iter().enumerate().map(|(n, instance)| (instance.name.clone(), n)).collect();
        Self { platform: platform.clone(), warm_up_ms, addresses, places, machines, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it takes until a load balancer sends requests to a replica that was started.
    pub(crate) fn recovers_in_ms(&self) -> u64 {
        self.warm_up_ms + CHECKS_MS
    }

    pub(crate) fn make_sick(&self, commit: &str) {
        self.state().sick.insert(commit.to_owned());
    }

    /// Both maps of a load balancer, as HAProxy has them in its memory.
    pub(crate) fn runtime_maps(&self, load_balancer: &str) -> String {
        let state = self.state();
        let map = |path: &str| state.runtime_maps.get(&(load_balancer.to_owned(), path.to_owned()));
        MAPS.iter().filter_map(|path| map(path)).map(|(_, map)| map.as_str()).collect()
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    pub(crate) fn machines(&self) -> &Weak<Machines> {
        &self.machines
    }

    /// The model that a machine's programs are part of: as long as there is one, there are machines.
    pub(crate) fn of<T>(machines: &Weak<Machines>, ask: impl FnOnce(&Self) -> T) -> Option<T> {
        machines.upgrade().map(|machines| ask(&machines.model))
    }

    /// Gives a new machine its packages' behaviour and the programs that steps call.
    pub(crate) fn furnish(&self, machine: &Machine, name: &str) {
        for (package, unit) in SERVICES {
            // Debian's exporters run as the user of Prometheus, which comes with them.
            let users = match package {
                _ if package.starts_with("prometheus-") => vec!["prometheus".to_owned()],
                "redis-server" => vec!["redis".to_owned()],
                _ => Vec::new(),
            };
            let unit = Package { units: vec![unit.to_owned()], users, ..Package::default() };
            machine.provide(package, unit);
        }
        for unit in OF_THE_BASE {
            machine.put_file(&format!("/usr/lib/systemd/system/{unit}"), "[Unit]\n");
        }
        for (key, value) in KERNEL {
            machine.put_sysctl(key, value);
        }
        for (unit, at_start, at_reload) in READS {
            machine.unit_reads(unit, at_start, at_reload);
        }
        match self.instance(name).map(|instance| &instance.role) {
            Some(Role::Component { component, .. }) => self.furnish_component(machine, component),
            Some(Role::Redis) => self.furnish_redis(machine, name),
            _ => {}
        }
        self.furnish_ssh(machine);
        furnish_firewall(machine);
        self.furnish_haproxy(machine, name);
        let (machines, own) = (self.machines.clone(), name.to_owned());
        machine.on_http(move |machine, url| {
            let answer = Self::of(&machines, |model| model.answer(&own, url, machine.now_ms()));
            answer.unwrap_or_else(|| Err("connection refused".to_owned()))
        });
    }

    /// A program gets its secrets when it starts, and keeps them.
    fn furnish_component(&self, machine: &Machine, component: &str) {
        let etc = format!("/etc/{component}");
        let component_of = self.platform.component(component);
        let secrets = component_of.into_iter().flat_map(|component| &component.secrets).map(String::as_str);
        let of_services = component_of.into_iter().filter(|component| !component.uses.is_empty());
        let of_services: Vec<String> =
            of_services.flat_map(|_| ["credentials/redis", "services"]).map(|name| format!("{etc}/{name}")).collect();
        let credentials = secrets.map(|name| format!("{etc}/credentials/{name}")).chain(of_services);
        let reads: Vec<String> =
            credentials.chain(["environment", "tls.pem"].map(|name| format!("{etc}/{name}"))).collect();
        let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
        machine.unit_reads(&format!("{component}.service"), &reads, &[]);
    }

    #[expect(clippy::unused_self, reason = "one of a row of furnishers")]
    fn furnish_ssh(&self, machine: &Machine) {
        const KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";
        machine.on_command(&format!("{SCRIPTS}/ssh-host-key"), |machine, argv| match argv {
            [_, mode, owner] if mode == "check" => {
                let made_for = machine.content(KEY).is_some_and(|key| key.ends_with(owner.as_str()));
                Finished::exited(i32::from(!made_for), "")
            }
            [_, _, owner] => {
                machine.put_file(KEY, format!("ssh-ed25519 KEY {owner}"));
                Finished::exited(0, "")
            }
            _ => Finished::exited(2, "usage"),
        });
    }

    fn furnish_haproxy(&self, machine: &Machine, name: &str) {
        let (machines, own) = (self.machines.clone(), name.to_owned());
        machine.on_command(&format!("{SCRIPTS}/haproxy-map"), move |machine, argv| {
            let [_, mode, path] = argv else { return Finished::exited(2, "usage") };
            let on_disk = machine.content(path).unwrap_or_default();
            if mode == "check" {
                let in_memory = Self::of(&machines, |model| model.haproxy_map(machine, &own, path));
                return Finished::exited(i32::from(in_memory != Some(on_disk)), "HAProxy runs with another map");
            }
            let starts = read_at(machine);
            let key = (own.clone(), path.clone());
            Self::of(&machines, |model| model.state().runtime_maps.insert(key, (starts, on_disk)));
            Finished::exited(0, "")
        });
        let machines = self.machines.clone();
        machine.on_command(&format!("{SCRIPTS}/haproxy-servers"), move |machine, argv| {
            let now_ms = machine.now_ms();
            let is_up = |server: &str| Self::of(&machines, |model| model.is_up(server, now_ms)).unwrap_or(false);
            let bad: Vec<&str> = argv[1..].iter().map(String::as_str).filter(|server| !is_up(server)).collect();
            Finished::exited(i32::from(!bad.is_empty()), format!("not up: {}", bad.join(" ")))
        });
    }

    /// A map as HAProxy has it in memory: the file as it was when HAProxy last read it, unless it was changed since.
    fn haproxy_map(&self, machine: &Machine, name: &str, path: &str) -> String {
        let starts = read_at(machine);
        let key = (name.to_owned(), path.to_owned());
        let mut state = self.state();
        let known = state.runtime_maps.get(&key).filter(|(at, _)| *at == starts).map(|(_, map)| map.clone());
        known.unwrap_or_else(|| {
            let map = machine.content(path).unwrap_or_default();
            state.runtime_maps.insert(key, (starts, map.clone()));
            map
        })
    }

    /// A booted HAProxy reads its maps from disk, as the kernel gets the rules of the firewall.
    pub(crate) fn boot(&self, machine: &Machine, name: &str) {
        boot_firewall(machine);
        for path in MAPS {
            self.state().runtime_maps.remove(&(name.to_owned(), path.to_owned()));
            self.haproxy_map(machine, name, path);
        }
    }

    /// `BACKEND` or `BACKEND/SERVER`: HAProxy sends requests to every server in it.
    fn is_up(&self, server: &str, now_ms: u64) -> bool {
        let is_in = |instance: &Instance, backend: &str| match &instance.role {
            Role::Component { component, colour: Some(colour) } => {
                backend.strip_prefix(component.as_str()).and_then(|rest| rest.strip_prefix('_'))
                    == Some(colour.as_str())
            }
            Role::Component { component, colour: None } => backend == component,
            _ => false,
        };
        let is_served = |instance: &Instance| self.in_rotation(instance, now_ms).is_ok();
        match server.split_once('/') {
            Some((backend, name)) => self.instance(name).is_some_and(|it| is_in(it, backend) && is_served(it)),
            None => {
                let mut servers = self.platform.instances.iter().filter(|it| is_in(it, server)).peekable();
                servers.peek().is_some() && servers.all(is_served)
            }
        }
    }

    fn instance(&self, name: &str) -> Option<&Instance> {
        self.places.get(name).map(|place| &self.platform.instances[*place])
    }

    /// The commit that a replica answers with, where HAProxy sends it requests.
    pub(crate) fn in_rotation(&self, replica: &Instance, now_ms: u64) -> Result<String, String> {
        self.serves(replica, now_ms.saturating_sub(CHECKS_MS))
    }

    /// The commit that a replica answers with.
    fn serves(&self, replica: &Instance, now_ms: u64) -> Result<String, String> {
        let refused = || "connection refused".to_owned();
        let Role::Component { component, .. } = &replica.role else { return Err(refused()) };
        let host = self.machines.upgrade().and_then(|machines| machines.host(&replica.name)).ok_or_else(refused)?;
        let kind = self.platform.component(component).map(|component| component.kind);
        let unit = match kind {
            Some(bascule_spec::ComponentKind::Static) => "nginx.service".to_owned(),
            _ => format!("{component}.service"),
        };
        let current = format!("/srv/{component}/current");
        let commit = host.machine.metadata_of(&current).and_then(|meta| match meta.kind {
            bascule_agent::Kind::Symlink { target } => target.rsplit('/').next().map(str::to_owned),
            _ => None,
        });
        let since_ms = host.machine.active_since_ms(&unit).filter(|_| host.running).ok_or_else(refused)?;
        let commit = commit.filter(|_| since_ms + self.warm_up_ms <= now_ms).ok_or_else(refused)?;
        if self.state().sick.contains(&commit) { Err("503 Service Unavailable".to_owned()) } else { Ok(commit) }
    }

    fn answer(&self, own: &str, url: &str, now_ms: u64) -> Result<HttpAnswer, String> {
        let unreachable = || "connection refused".to_owned();
        let rest = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
        let (_, rest) = rest.ok_or_else(unreachable)?;
        let (authority, path) = rest.split_once('/').ok_or_else(unreachable)?;
        let (host, _) = authority.split_once(':').unwrap_or((authority, "80"));
        let name = if host == "127.0.0.1" { own } else { self.addresses.get(host).ok_or_else(unreachable)? };
        let instance = self.instance(name).ok_or_else(unreachable)?;
        let commit = match instance.role {
            Role::LoadBalancer => self.front_door(name, &format!("/{path}"), now_ms)?,
            _ => self.serves(instance, now_ms)?,
        };
        Ok(HttpAnswer { status: 200, body: format!("{{\"commit\":\"{commit}\"}}") })
    }

    /// The commit with which a load balancer answers a component's version path.
    pub(crate) fn front_door(&self, load_balancer: &str, path: &str, now_ms: u64) -> Result<String, String> {
        let component: &Component =
            self.platform.components.iter().find(|component| component.version == path).ok_or("404 Not Found")?;
        let pool = self.pool(load_balancer, component).ok_or("connection refused")?;
        let mut answers = pool.into_iter().map(|replica| self.in_rotation(replica, now_ms));
        answers.find(Result::is_ok).unwrap_or(Err("503 Service Unavailable".to_owned()))
    }

    /// The replicas to which a load balancer that runs sends a component's requests now.
    pub(crate) fn pool<'a>(&'a self, load_balancer: &str, component: &'a Component) -> Option<Vec<&'a Instance>> {
        let host = self.machines.upgrade()?.host(load_balancer)?;
        if !host.running || !host.machine.is_active("haproxy.service") {
            return None;
        }
        let colour = match self.platform.load_balancer.topology {
            Topology::MultiInstance => None,
            Topology::BlueGreen => {
                let map = self.haproxy_map(&host.machine, load_balancer, COLOUR_MAP);
                let active = map.lines().find_map(|line| line.strip_prefix("active "));
                let active = Colour::BOTH.into_iter().find(|colour| active == Some(colour.as_str()));
                if active.is_none() {
                    return Some(Vec::new());
                }
                active
            }
        };
        Some(self.platform.replicas(&component.name, colour).collect())
    }
}

/// What the kernel has of the firewall's rules.
pub(crate) fn furnish_firewall(machine: &Machine) {
    machine.on_command(&format!("{SCRIPTS}/firewall"), |machine, argv| {
        let rules = machine.content(RULES).unwrap_or_default();
        match argv.get(1).map(String::as_str) {
            Some("check") => Finished::exited(i32::from(machine.content(KERNEL_RULES) != Some(rules)), ""),
            _ => {
                machine.put_file(KERNEL_RULES, rules);
                Finished::exited(0, "")
            }
        }
    });
}

/// At a boot the kernel has no rules, and the unit loads those that there are.
fn boot_firewall(machine: &Machine) {
    if let Some(rules) = machine.content(RULES).filter(|_| machine.is_active("bascule-firewall.service")) {
        machine.put_file(KERNEL_RULES, rules);
    }
}

/// Counts the moments at which HAProxy reads its files.
fn read_at(machine: &Machine) -> u64 {
    machine.starts("haproxy.service") + machine.reloads("haproxy.service")
}

/// Settings with the value that a fresh instance has.
const KERNEL: [(&str, &str); 10] = [
    ("net.ipv4.ip_local_port_range", "32768 60999"),
    ("net.ipv4.ip_nonlocal_bind", "0"),
    ("net.core.somaxconn", "4096"),
    ("net.ipv4.conf.all.forwarding", "1"),
    ("net.ipv4.conf.all.send_redirects", "1"),
    ("net.ipv4.conf.default.accept_redirects", "1"),
    ("net.ipv4.conf.default.accept_source_route", "1"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.all.log_martians", "0"),
    ("net.ipv4.conf.default.log_martians", "0"),
];

/// Which unit a package brings and starts.
const SERVICES: [(&str, &str); 9] = [
    ("haproxy", "haproxy.service"),
    ("keepalived", "keepalived.service"),
    ("redis-server", redis::SERVER),
    ("redis-sentinel", redis::SENTINEL),
    ("nginx", "nginx.service"),
    ("openssh-server", "ssh.service"),
    ("fail2ban", "fail2ban.service"),
    ("prometheus-node-exporter", "prometheus-node-exporter.service"),
    ("prometheus-redis-exporter", redis::EXPORTER),
];

/// Which files a service reads when it starts, and which also when it reloads.
const READS: [(&str, &[&str], &[&str]); 5] = [
    ("haproxy.service", &[], &["/etc/haproxy/haproxy.cfg"]),
    ("ssh.service", &["/etc/ssh/ssh_host_ed25519_key.pub"], &["/etc/ssh/sshd_config.d/10-bascule.conf"]),
    ("systemd-journald.service", &["/etc/systemd/journald.conf.d/zz-bascule.conf"], &[]),
    ("fail2ban.service", &["/etc/fail2ban/jail.local"], &[]),
    ("prometheus-node-exporter.service", &["/etc/default/prometheus-node-exporter"], &[]),
];

const OF_THE_BASE: [&str; 3] = ["systemd-journald.service", "apt-daily.timer", "apt-daily-upgrade.timer"];
