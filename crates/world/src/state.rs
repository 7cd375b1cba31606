use std::collections::BTreeMap;

use bascule_incus::Incus as _;
use bascule_roles::{ColourRelease, ColourState};
use bascule_spec::Role;

use crate::World;
use crate::behaviour::KERNEL_RULES;
use crate::redis;

impl World {
    /// Everything a run leaves behind, for comparing two worlds: files, services, HAProxy's maps, what is recorded.
    /// Left out is what tells of the way and not of the goal: the history, generations, digests of inputs, blobs.
    pub async fn state(&self) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        let project = self.platform.incus.project.as_str();
        let record = self.incus.profile(project, "bascule-record").await.ok().flatten();
        let record = record.map(|profile| profile.config).unwrap_or_default();
        for name in self.machines.names() {
            let Some(host) = self.machines.host(&name) else { continue };
            for path in host.machine.paths_below("/").into_iter().filter(|path| is_goal(path)) {
                let what = host.machine.content(&path).map_or_else(
                    || format!("{:?}", host.machine.metadata_of(&path)),
                    |content| format!("{:?} {}", host.machine.metadata_of(&path), told(&content)),
                );
                state.insert(format!("{name}:{path}"), what);
            }
            let own = self.platform.components.iter().map(|component| format!("{}.service", component.name));
            let units =
                own.chain(SERVICES.map(str::to_owned)).filter(|unit| host.machine.active_since_ms(unit).is_some());
            let is_left_alone = self.is_left_alone(&name, &record);
            for unit in units {
                let current = match is_left_alone && !SERVICES.contains(&unit.as_str()) {
                    true => "nobody asks".to_owned(),
                    false => host.machine.runs_current(&unit).to_string(),
                };
                state.insert(format!("{name}: {unit}"), format!("active, with what is on the disk: {current}"));
            }
            let maps = without_generation(&self.machines.model.runtime_maps(&name));
            state.insert(format!("{name}: maps"), maps);
            state.insert(format!("{name}: runs"), host.running.to_string());
        }
        for (key, value) in self.incus.config_of(project).into_iter().chain(record) {
            if !key.contains("history") && !key.contains("generation") {
                state.insert(key, value);
            }
        }
        state
    }

    /// A replica of a colour whose deploy did not end well: the next one makes it anew, and `up` does not restart it.
    fn is_left_alone(&self, name: &str, record: &BTreeMap<String, String>) -> bool {
        let instance = self.platform.instances.iter().find(|instance| instance.name == name);
        let Some(Role::Component { colour, .. }) = instance.map(|instance| &instance.role) else { return false };
        let key = colour.map_or_else(String::new, |colour| format!(".{colour}"));
        let release = record.get(&format!("user.bascule.release{key}")).map(String::as_str).unwrap_or_default();
        let release = serde_json::from_str::<ColourRelease>(release);
        release.is_ok_and(|release| release.state != ColourState::Ready)
    }
}

const SERVICES: [&str; 11] = [
    "haproxy.service",
    redis::SERVER,
    redis::SENTINEL,
    redis::EXPORTER,
    "nginx.service",
    "ssh.service",
    "fail2ban.service",
    "prometheus-node-exporter.service",
    "systemd-journald.service",
    "bascule-firewall.service",
    "incus.service",
];

/// Not the agent nor what it remembers, nor what lives in memory but for the kernel's rules, nor what a killed one left beside
/// a file's place.
fn is_goal(path: &str) -> bool {
    path == KERNEL_RULES
        || !path.starts_with("/usr/local/lib/bascule/agent-")
            && !path.starts_with("/var/lib/bascule")
            && !path.starts_with("/run")
            && !path.contains(".bascule-")
            && !redis::is_theirs(path)
}

/// Two worlds have different keys, and so different certificates.
fn told(content: &str) -> String {
    if content.contains("-----BEGIN ") { "a key or a certificate".to_owned() } else { without_generation(content) }
}

fn without_generation(content: &str) -> String {
    content.lines().filter(|line| !line.starts_with("generation ")).collect::<Vec<_>>().join("\n")
}
