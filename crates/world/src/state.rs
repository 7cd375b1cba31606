use std::collections::BTreeMap;

use bascule_incus::Incus as _;

use crate::World;

impl World {
    /// Everything a run leaves behind, for comparing two worlds: files, services, HAProxy's maps, what is recorded.
    /// Left out is what tells of the way and not of the goal: the history, generations, digests of inputs, blobs.
    pub async fn state(&self) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        for name in self.machines.names() {
            let Some(host) = self.machines.host(&name) else { continue };
            for path in host.machine.paths_below("/") {
                if !path.starts_with("/var/lib/bascule") && !path.starts_with("/run") {
                    let what = host.machine.content(&path).map_or_else(
                        || format!("{:?}", host.machine.metadata_of(&path)),
                        |content| format!("{:?} {}", host.machine.metadata_of(&path), without_generation(&content)),
                    );
                    state.insert(format!("{name}:{path}"), what);
                }
            }
            for unit in ["haproxy.service", "nginx.service", "api.service", "ssh.service", "fail2ban.service"] {
                let running = format!("{} {}", host.machine.is_active(unit), host.machine.runs_current(unit));
                state.insert(format!("{name}: {unit}"), running);
            }
            let map = self.machines.runtime_map(&name).map(|map| without_generation(&map));
            state.insert(format!("{name}: map"), format!("{map:?}"));
        }
        let project = self.incus.project(&self.platform.incus.project).await.ok().flatten();
        for (key, value) in project.map(|project| project.config).unwrap_or_default() {
            if !key.contains("history") && !key.contains("generation") {
                state.insert(key, value);
            }
        }
        state
    }
}

fn without_generation(content: &str) -> String {
    content.lines().filter(|line| !line.starts_with("generation ")).collect::<Vec<_>>().join("\n")
}
