use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::sync::{MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{A, BETWEEN_LOOKS, Lab, archive, folder, now_ms, said, with_input};

pub(super) const MEMBERS: [&str; 3] = ["redis-1", "redis-2", "redis-3"];

/// How long anything may take here before a test gives up: no promise, and no figure.
const PATIENCE: Duration = Duration::from_secs(90);

/// Three members, and an instance from which somebody writes.
pub(super) struct Group {
    pub(super) lab: Lab,
    _one_at_a_time: MutexGuard<'static, ()>,
}

/// So many writes, by how many replicas confirmed them.
pub(super) type Counts = BTreeMap<String, u64>;

const PLATFORM: &str = r#"
name = "data"

[network]
bridge = "bslt-data"
subnet = "10.99.36.0/24"

[incus]
project = "bascule-test-data"

[ssh]
allow_from = ["10.99.36.0/24"]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH nobody"]

[release]
artifacts = "artifacts"

[load_balancer]
topology = "multi-instance"
connections_max = 1000

[component.web]
kind = "static"
replicas = 1
default = true

[redis]
volume = "1GiB"
data_max = "128MiB"

[group.tools]
instances = 1
uses = ["redis"]
"#;

impl Group {
    pub(super) fn up() -> Self {
        static FILES: OnceLock<()> = OnceLock::new();
        static READY: OnceLock<()> = OnceLock::new();
        let folder = folder().with_file_name("lab-data");
        let (guard, lab) = Lab::of(folder.clone(), "data");
        let group = Self { lab, _one_at_a_time: guard };
        FILES.get_or_init(|| {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("env")).unwrap();
            fs::create_dir_all(folder.join("artifacts").join(A)).unwrap();
            fs::write(folder.join("platform.toml"), PLATFORM).unwrap();
            fs::write(folder.join("env/data.toml"), "").unwrap();
            let version = format!("{{\"commit\":\"{A}\"}}");
            archive(&folder.join("artifacts").join(A).join("web.tar.gz"), &[("version.json", &version, "0644")]);
            group.lab.ok(&["init", folder.to_str().unwrap()]);
        });
        READY.get_or_init(|| {
            group.lab.ok(&["up"]);
            assert_eq!(group.lab.summary(&["up"])["changed"], 0);
            group.lab.ok(&["exec", "tools-1", "--", "sh", "-c", INSTALL]);
            for (name, text) in [("load.py", include_str!("load.py")), ("check.py", include_str!("check.py"))] {
                let put = ["exec", "tools-1", "--", "sh", "-c", "cat >/root/$0", name];
                assert!(group.lab.with_input(&put, text.as_bytes()).status.success());
            }
        });
        group.wait_until_whole();
        group
    }

    /// Writes the environment's overlay.
    pub(super) fn change(&self, overlay: &str) {
        fs::write(self.lab.folder.join("env/data.toml"), overlay).unwrap();
    }

    /// Whom a majority of Sentinels takes for the master.
    pub(super) fn master(&self) -> String {
        let began = Instant::now();
        loop {
            let mut votes: BTreeMap<String, usize> = BTreeMap::new();
            for member in MEMBERS {
                let said = self.ask(member, 26379, "SENTINEL GET-MASTER-ADDR-BY-NAME main");
                *votes.entry(said.lines().next().unwrap_or_default().to_owned()).or_default() += 1;
            }
            let agreed = votes.into_iter().find(|(address, votes)| *votes >= 2 && !address.is_empty());
            if let Some((address, _)) = agreed {
                return self.named(&address);
            }
            assert!(began.elapsed() < PATIENCE, "no Sentinels agree");
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// One that is not the master.
    pub(super) fn replica(&self) -> String {
        let master = self.master();
        MEMBERS.into_iter().find(|member| *member != master).unwrap().to_owned()
    }

    /// What a Redis or a Sentinel answers on its own machine; nothing when it does not.
    fn ask(&self, member: &str, port: u16, command: &str) -> String {
        let script = format!("/usr/local/lib/bascule/redis-ask {} {port} {command}", self.address(member));
        self.lab.shell(member, &script)
    }

    fn address(&self, member: &str) -> String {
        self.lab.known_address(member)
    }

    fn named(&self, address: &str) -> String {
        MEMBERS
            .into_iter()
            .find(|member| self.address(member) == address)
            .unwrap_or_else(|| panic!("{address}"))
            .to_owned()
    }

    /// Waits until there is one master and all others have its data, and all Sentinels know each other.
    pub(super) fn wait_until_whole(&self) {
        let began = Instant::now();
        loop {
            let roles = MEMBERS.map(|member| self.ask(member, 6379, "INFO replication"));
            let masters = roles.iter().filter(|info| info.contains("role:master")).count();
            let replicas = roles.iter().filter(|info| info.contains("master_link_status:up")).count();
            let known = MEMBERS.map(|member| self.ask(member, 26379, "SENTINEL MASTER main"));
            let knows_all = |told: &String| told.contains("num-slaves\n2\nnum-other-sentinels\n2\n");
            // One that was frozen mistrusts its clock for 30 seconds, and decides nothing.
            let decides = |member| self.ask(member, 26379, "INFO sentinel").contains("sentinel_tilt:0");
            if (masters, replicas) == (1, 2) && known.iter().all(knows_all) && MEMBERS.into_iter().all(decides) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{roles:#?}\n{known:#?}");
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    fn password(&self) -> Vec<u8> {
        let output = self.lab.run(&["secrets", "show", "bascule/redis/user/tools"]);
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    }

    fn sentinels(&self) -> String {
        MEMBERS.map(|member| format!("{}:26379", self.address(member))).join(",")
    }

    /// How many writes there were, and how many of them are lost.
    pub(super) fn check(&self, prefix: &str) -> (Counts, Counts) {
        let script = ["exec", "tools-1", "--", "python3", "/root/check.py", "tools"];
        let file = format!("/root/{prefix}.log");
        let sentinels = self.sentinels();
        let mut command = self.lab.command(&[&script[..], &[&sentinels, prefix, &file]].concat());
        let output = with_input(&mut command, &self.password());
        assert!(output.status.success(), "{}", said(&output));
        let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
        let counts = |key: &str| serde_json::from_value(counted[key].clone()).unwrap();
        (counts("written"), counts("lost"))
    }
}

const INSTALL: &str = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3-redis >/dev/null";

/// Somebody who writes all the time.
pub(super) struct Writes<'a> {
    group: &'a Group,
    child: Child,
    prefix: String,
}

impl<'a> Writes<'a> {
    /// Each write waits until so many replicas have confirmed it; for none with 0.
    pub(super) fn start(group: &'a Group, replicas: u32) -> Self {
        let prefix = format!("t{}", now_ms());
        let line =
            format!("exec python3 /root/load.py tools {} {replicas} {prefix} >/root/{prefix}.log", group.sentinels());
        let mut command = group.lab.command(&["exec", "tools-1", "--", "sh", "-c", &line]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, &group.password()).unwrap();
        drop(stdin);
        let writes = Self { group, child, prefix };
        writes.accepted_again_after(0);
        writes
    }

    /// Waits for the first write that was answered after a moment, and gives how long after.
    pub(super) fn accepted_again_after(&self, moment_ms: u64) -> u64 {
        let began = Instant::now();
        loop {
            let last =
                self.group.lab.shell("tools-1", &format!("grep confirmed /root/{}.log | tail -n 2000", self.prefix));
            let answered = last.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["at"].as_f64());
            let after = answered.map(|at| (at * 1000.0) as u64).filter(|at| *at > moment_ms).min();
            if let Some(at) = after {
                return at.saturating_sub(moment_ms);
            }
            assert!(began.elapsed() < PATIENCE, "no write is accepted any more: {last}");
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Ends it, and gives the name of what it wrote.
    pub(super) fn stop(mut self) -> String {
        let _ = self.group.lab.shell("tools-1", &format!("pkill -f 'load.py.* {}'", self.prefix));
        let _ = self.child.wait();
        self.prefix.clone()
    }

    /// Ends it; how many writes there were, and how many of them are lost.
    pub(super) fn end(self) -> (Counts, Counts) {
        let group = self.group;
        let prefix = self.stop();
        group.check(&prefix)
    }
}
