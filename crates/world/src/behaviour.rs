//! What the programs on the machines do: HAProxy with its map and its servers, replicas that answer with their commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bascule_agent::fake::{Machine, Package};
use bascule_agent::{Finished, HttpAnswer};
use bascule_spec::{Component, Instance, Platform, Role, Topology};

use crate::machines::Machines;

const COLOUR_MAP: &str = "/etc/haproxy/colour.map";
const SCRIPTS: &str = "/usr/local/lib/bascule";

/// What all machines of a world share.
#[derive(Debug)]
pub(crate) struct Model {
    platform: Platform,
    addresses: BTreeMap<String, String>,
    machines: Weak<Machines>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// HAProxy's map in memory, by load balancer, with the number of starts and reloads it was read at.
    runtime_maps: BTreeMap<String, (u64, String)>,
    /// Commits that never become healthy.
    sick: BTreeSet<String>,
}

impl Model {
    pub(crate) fn new(platform: &Platform, machines: Weak<Machines>) -> Self {
        let addresses = bascule_spec::allocate(platform, &BTreeMap::new()).expect("addresses for the platform");
        let addresses = addresses.into_iter().map(|(name, address)| (address.to_string(), name)).collect();
        Self { platform: platform.clone(), addresses, machines, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn make_sick(&self, commit: &str) {
        self.state().sick.insert(commit.to_owned());
    }

    pub(crate) fn runtime_map(&self, load_balancer: &str) -> Option<String> {
        self.state().runtime_maps.get(load_balancer).map(|(_, map)| map.clone())
    }

    /// Gives a new machine its packages' behaviour and the programs that steps call.
    pub(crate) fn furnish(self: &Arc<Self>, machine: &Machine, name: &str) {
        for (package, unit) in SERVICES {
            let unit = Package { units: vec![unit.to_owned()], ..Package::default() };
            machine.provide(package, unit);
        }
        for unit in OF_THE_BASE {
            machine.put_file(&format!("/usr/lib/systemd/system/{unit}"), "[Unit]\n");
        }
        for (key, value) in [("net.ipv4.ip_local_port_range", "32768 60999"), ("net.core.somaxconn", "4096")] {
            machine.put_sysctl(key, value);
        }
        self.furnish_ssh(machine);
        self.furnish_haproxy(machine, name);
        let (model, own) = (self.clone(), name.to_owned());
        machine.on_http(move |_, url| model.answer(&own, url));
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

    fn furnish_haproxy(self: &Arc<Self>, machine: &Machine, name: &str) {
        let (model, own) = (self.clone(), name.to_owned());
        machine.on_command(&format!("{SCRIPTS}/haproxy-colour"), move |machine, argv| {
            let on_disk = machine.content(COLOUR_MAP).unwrap_or_default();
            if argv.get(1).is_some_and(|mode| mode == "check") {
                let differs = model.haproxy_map(machine, &own) != on_disk;
                return Finished::exited(i32::from(differs), "HAProxy runs with another map");
            }
            let starts = read_at(machine);
            model.state().runtime_maps.insert(own.clone(), (starts, on_disk));
            Finished::exited(0, "")
        });
        let model = self.clone();
        machine.on_command(&format!("{SCRIPTS}/haproxy-servers"), move |_, argv| {
            let bad: Vec<&str> = argv[1..].iter().map(String::as_str).filter(|server| !model.is_up(server)).collect();
            Finished::exited(i32::from(!bad.is_empty()), format!("not up: {}", bad.join(" ")))
        });
    }

    /// The map HAProxy has in memory: the file as it was when HAProxy last read it, unless it was changed since.
    fn haproxy_map(&self, machine: &Machine, name: &str) -> String {
        let starts = read_at(machine);
        let mut state = self.state();
        let known = state.runtime_maps.get(name).filter(|(at, _)| *at == starts).map(|(_, map)| map.clone());
        known.unwrap_or_else(|| {
            let map = machine.content(COLOUR_MAP).unwrap_or_default();
            state.runtime_maps.insert(name.to_owned(), (starts, map.clone()));
            map
        })
    }

    /// A booted HAProxy reads its map from disk.
    pub(crate) fn boot(&self, machine: &Machine, name: &str) {
        self.state().runtime_maps.remove(name);
        self.haproxy_map(machine, name);
    }

    /// `BACKEND` or `BACKEND/SERVER`: every server in it answers its health check.
    fn is_up(&self, server: &str) -> bool {
        let (backend, wanted) = server.split_once('/').map_or((server, None), |(backend, name)| (backend, Some(name)));
        let of_backend = self.platform.instances.iter().filter(|instance| match &instance.role {
            Role::Component { component, colour: Some(colour) } => backend == format!("{component}_{colour}"),
            Role::Component { component, colour: None } => backend == component,
            _ => false,
        });
        let mut servers = of_backend.filter(|instance| wanted.is_none_or(|wanted| wanted == instance.name)).peekable();
        servers.peek().is_some() && servers.all(|instance| self.serves(instance).is_ok())
    }

    /// The commit that a replica answers with.
    fn serves(&self, replica: &Instance) -> Result<String, String> {
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
        let commit = commit.filter(|_| host.running && host.machine.is_active(&unit)).ok_or_else(refused)?;
        if self.state().sick.contains(&commit) { Err("503 Service Unavailable".to_owned()) } else { Ok(commit) }
    }

    fn answer(&self, own: &str, url: &str) -> Result<HttpAnswer, String> {
        let unreachable = || "connection refused".to_owned();
        let rest = url.strip_prefix("http://").ok_or_else(unreachable)?;
        let (authority, path) = rest.split_once('/').ok_or_else(unreachable)?;
        let (host, _) = authority.split_once(':').unwrap_or((authority, "80"));
        let name = if host == "127.0.0.1" { own } else { self.addresses.get(host).ok_or_else(unreachable)? };
        let instance = self.platform.instances.iter().find(|instance| instance.name == name).ok_or_else(unreachable)?;
        let commit = match instance.role {
            Role::LoadBalancer => self.front_door(name, &format!("/{path}"))?,
            _ => self.serves(instance)?,
        };
        Ok(HttpAnswer { status: 200, body: format!("{{\"commit\":\"{commit}\"}}") })
    }

    /// The commit with which a load balancer answers a component's version path.
    pub(crate) fn front_door(&self, load_balancer: &str, path: &str) -> Result<String, String> {
        let closed = || "connection refused".to_owned();
        let host = self.machines.upgrade().and_then(|machines| machines.host(load_balancer)).ok_or_else(closed)?;
        if !host.running || !host.machine.is_active("haproxy.service") {
            return Err(closed());
        }
        let component: &Component =
            self.platform.components.iter().find(|component| component.version == path).ok_or("404 Not Found")?;
        let map = self.haproxy_map(&host.machine, load_balancer);
        let active = map.lines().find_map(|line| line.strip_prefix("active ")).unwrap_or("none").to_owned();
        let coloured = self.platform.load_balancer.topology == Topology::BlueGreen;
        let replicas = self.platform.instances.iter().filter(|instance| match &instance.role {
            Role::Component { component: name, colour } => {
                *name == component.name && (!coloured || colour.is_some_and(|colour| colour.as_str() == active))
            }
            _ => false,
        });
        replicas
            .map(|replica| self.serves(replica))
            .find(Result::is_ok)
            .unwrap_or(Err("503 Service Unavailable".to_owned()))
    }
}

/// Counts the moments at which HAProxy reads its files.
fn read_at(machine: &Machine) -> u64 {
    machine.starts("haproxy.service") + machine.reloads("haproxy.service")
}

/// Which unit a package brings and starts.
const SERVICES: [(&str, &str); 5] = [
    ("haproxy", "haproxy.service"),
    ("nginx", "nginx.service"),
    ("openssh-server", "ssh.service"),
    ("fail2ban", "fail2ban.service"),
    ("prometheus-node-exporter", "prometheus-node-exporter.service"),
];

const OF_THE_BASE: [&str; 3] = ["systemd-journald.service", "apt-daily.timer", "apt-daily-upgrade.timer"];
