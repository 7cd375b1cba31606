use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{MutexGuard, OnceLock};
use std::time::Instant;

use serde_json::{Value, json};

use super::formation::{self, PATIENCE};
use crate::lab::{A, BETWEEN_LOOKS, Lab, archive, events, folder, now_ms, said, with_input};

/// PostgreSQL with two nodes and two poolers, and an instance from which somebody uses it.
pub(super) struct Site {
    pub(super) lab: Lab,
    _one_at_a_time: MutexGuard<'static, ()>,
}

const PLATFORM: &str = r#"
name = "pg"

[network]
bridge = "bslt-pg"
subnet = "10.99.39.0/24"

[incus]
project = "bascule-test-pg"

[ssh]
allow_from = ["10.99.39.0/24"]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH nobody"]

[release]
artifacts = "artifacts"

[load_balancer]
topology = "multi-instance"
instances = 2
address = "10.99.39.9"
connections_max = 2000

[component.web]
kind = "static"
replicas = 1
default = true

[postgres]
volume = "4GiB"

[postgres.database.shop]
users = ["tools"]
extensions = ["pg_trgm"]

[group.tools]
instances = 1
uses = ["postgres"]
"#;

const INSTALL: &str = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3-psycopg2 >/dev/null";
const PLACE: &str =
    "host=10.99.39.9 port=6432 dbname=shop user=tools sslmode=verify-full sslrootcert=/etc/bascule/authority.pem";
/// Made by whoever owns the database, as a migration is.
const TABLE: &str = "SET ROLE shop_owner; CREATE TABLE IF NOT EXISTS ledger (name text PRIMARY KEY, timeline integer NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())";

impl Site {
    pub(super) fn up() -> Self {
        static FILES: OnceLock<()> = OnceLock::new();
        static READY: OnceLock<()> = OnceLock::new();
        let (guard, lab) = Lab::of(Self::folder(), "pg");
        let site = Self { lab, _one_at_a_time: guard };
        FILES.get_or_init(|| {
            let folder = Self::folder();
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("env")).unwrap();
            fs::create_dir_all(folder.join("artifacts").join(A)).unwrap();
            fs::write(folder.join("platform.toml"), PLATFORM).unwrap();
            site.change("");
            let version = format!("{{\"commit\":\"{A}\"}}");
            archive(&folder.join("artifacts").join(A).join("web.tar.gz"), &[("version.json", &version, "0644")]);
            site.lab.ok(&["init", folder.to_str().unwrap()]);
        });
        READY.get_or_init(|| {
            site.lab.ok(&["up"]);
            assert_eq!(site.lab.summary(&["up"])["changed"], 0);
            site.lab.ok(&["exec", "tools-1", "--", "sh", "-c", INSTALL]);
            site.put_ledger("tools-1");
            site.lab.ok(&["pg", "psql", "--", "-c", TABLE]);
        });
        site.wait_until_whole();
        site
    }

    fn folder() -> PathBuf {
        folder().with_file_name("lab-pg")
    }

    /// Writes the environment's overlay.
    pub(super) fn change(&self, overlay: &str) {
        fs::write(Self::folder().join("env/pg.toml"), overlay).unwrap();
    }

    pub(super) fn address(&self, instance: &str) -> String {
        self.lab.known_address(instance)
    }

    pub(super) fn status(&self) -> Value {
        formation::status(&self.lab)
    }

    /// What node_exporter is told, now: by `postgres`, or by `pooler`.
    pub(super) fn metric(&self, instance: &str, program: &str, series: &str) -> String {
        let told = format!("/var/lib/prometheus/node-exporter/{program}.prom");
        let line = format!("systemctl start bascule-{program}-metrics && grep -F '{series} ' {told}");
        let found = self.lab.shell(instance, &line);
        found.rsplit(' ').next().unwrap_or_default().to_owned()
    }

    pub(super) fn wait_until_whole(&self) -> (String, String) {
        formation::wait_until_whole(&self.lab)
    }

    pub(super) fn has_as_primary(&self, node: &str) {
        if self.wait_until_whole().0 != node {
            self.lab.ok(&["pg", "switchover"]);
        }
        assert_eq!(self.wait_until_whole().0, node);
    }

    /// Waits until somebody is told that this node is away.
    pub(super) fn wait_until_told(&self, node: &str) {
        let began = Instant::now();
        loop {
            let told = self.status();
            // Until it has reported, it is on its way to what it becomes when it comes back.
            let of_it = [format!("find {node} healthy"), format!("{node} is secondary, to become catchingup")];
            let alerts = told["alerts"].to_string();
            if of_it.iter().any(|words| alerts.contains(words)) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{told:#}");
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// All is well again, and `up` has nothing to change: it leaves alone who is the primary.
    pub(super) fn is_whole_again(&self) -> (String, String) {
        let found = self.wait_until_whole();
        assert_eq!(self.brought_up(), Vec::<Value>::new());
        found
    }

    /// What `up` changed; none of it failed.
    pub(super) fn brought_up(&self) -> Vec<Value> {
        let mut told = events(&self.lab.run(&["up", "--output", "json"]));
        let failures: Vec<&Value> =
            told.iter().filter(|event| event["type"] == "failure" || event["outcome"] == "failed").collect();
        assert!(failures.is_empty(), "{failures:#?}");
        assert_eq!(told.last().map(|last| &last["type"]), Some(&json!("summary")));
        told.retain(|event| event["type"] == "step_ended" && event["outcome"] == "changed");
        told
    }

    /// Whether a password opens nothing.
    pub(super) fn refuses(&self, password: &[u8]) -> bool {
        let read = format!("exec python3 /opt/ledger.py read '{PLACE}' /dev/null");
        let output = with_input(&mut self.lab.command(&["exec", "tools-1", "--", "sh", "-c", &read]), password);
        let said = said(&output);
        assert!(output.status.success() || said.contains("authentication failed"), "{said}");
        !output.status.success()
    }

    fn put_ledger(&self, instance: &str) {
        let put = ["exec", instance, "--", "sh", "-c", "cat >/opt/ledger.py"];
        assert!(self.lab.with_input(&put, include_bytes!("ledger.py")).status.success());
    }

    fn password(&self) -> Vec<u8> {
        self.secret("bascule/postgres/user/tools")
    }

    pub(super) fn secret(&self, name: &str) -> Vec<u8> {
        let output = self.lab.run(&["secrets", "show", name]);
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    }

    /// One that has begun, through the pool.
    pub(super) fn transaction_of_20_s(&self) -> Child {
        let program = format!(
            "import psycopg2, sys, time; c = psycopg2.connect('{PLACE}', password=sys.stdin.read().strip()); \
             c.cursor().execute('SELECT 1'); print('begun', flush=True); time.sleep(20); c.rollback()"
        );
        let mut command = self.lab.command(&["exec", "tools-1", "--", "python3", "-c", &program]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&self.password()).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        child
    }

    /// Runs pgbench through the pool, as a user whose password is the secret, and gives what it says.
    pub(super) fn pgbench(&self, user: &str, secret: &str, options: &str) -> String {
        let place = PLACE.replace("user=tools", &format!("user={user}"));
        let line = format!(
            "PGPASSWORD=$(cat) exec /opt/postgresql/usr/lib/postgresql/17/bin/pgbench {options} '{place}' 2>&1"
        );
        let mut command = self.lab.command(&["exec", "tools-1", "--", "sh", "-c", &line]);
        let output = with_input(&mut command, &self.secret(secret));
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    pub(super) fn cut(&self, one: &str, other: &str) {
        formation::cut(&self.lab, one, other);
    }

    pub(super) fn heal(&self) {
        formation::heal(&self.lab);
    }
}

/// What is left of a test that failed would cut the next one's instances, too.
impl Drop for Site {
    fn drop(&mut self) {
        self.heal();
    }
}

/// Somebody who writes all the time.
pub(super) struct Ledger<'a> {
    site: &'a Site,
    child: Child,
    run: String,
    watched: Vec<String>,
}

/// On a node: nobody may be acknowledged there any more as soon as somebody is on the next one.
const WATCHER: &str = "\
[Service]
User=postgres
ExecStart=/bin/sh -c 'exec python3 /opt/ledger.py write \"host=/var/run/postgresql dbname=shop user=postgres\" $$(cat /proc/sys/kernel/random/uuid) 1'
StandardOutput=append:/opt/ledger.log
Restart=always
RestartSec=500ms

[Install]
WantedBy=multi-user.target
";

impl<'a> Ledger<'a> {
    pub(super) fn start(site: &'a Site) -> Self {
        Self::start_with(site, "")
    }

    /// With settings of each transaction.
    pub(super) fn start_with(site: &'a Site, settings: &str) -> Self {
        let run = format!("r{}", now_ms());
        let line = format!("exec python3 /opt/ledger.py write '{PLACE}' {run} 4 {settings} >/root/{run}.log");
        let mut command = site.lab.command(&["exec", "tools-1", "--", "sh", "-c", &line]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&site.password()).unwrap();
        drop(stdin);
        let ledger = Self { site, child, run, watched: Vec::new() };
        ledger.go_on();
        ledger
    }

    /// With somebody on each node who writes past all poolers, and goes on when the node does.
    pub(super) fn start_with_watchers(site: &'a Site, nodes: &[&str]) -> Self {
        let start =
            "cat >/etc/systemd/system/ledger.service; systemctl daemon-reload; systemctl enable --now --quiet ledger";
        for node in nodes {
            site.put_ledger(node);
            let started = site.lab.with_input(&["exec", node, "--", "sh", "-c", start], WATCHER.as_bytes());
            assert!(started.status.success(), "{}", said(&started));
        }
        let mut ledger = Self::start(site);
        ledger.watched = nodes.iter().map(|node| (*node).to_owned()).collect();
        ledger
    }

    /// Waits until so many more are acknowledged that they cannot have been under way before.
    pub(super) fn go_on(&self) {
        self.acknowledged_after(now_ms());
    }

    /// Waits for acknowledged inserts that began after a moment, and gives how long after it the first was answered.
    pub(super) fn acknowledged_after(&self, moment_ms: u64) -> u64 {
        let began = Instant::now();
        loop {
            let last = self.site.lab.shell("tools-1", &format!("tail -n 2000 /root/{}.log", self.run));
            let lines = last.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let answered = lines.filter(|line| line["name"].is_string() && line["error"].is_null());
            let ms = |line: &Value, key: &str| (line[key].as_f64().unwrap_or_default() * 1000.0) as u64;
            let after: Vec<u64> =
                answered.filter(|line| ms(line, "began") >= moment_ms).map(|line| ms(&line, "at")).collect();
            if after.len() >= 20 {
                return after.into_iter().min().unwrap_or_default() - moment_ms;
            }
            let tail = || last.lines().rev().take(3).collect::<Vec<_>>().join("\n");
            assert!(began.elapsed() < PATIENCE, "no insert is acknowledged any more: {}", tail());
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Ends it, and compares what was acknowledged with what is there.
    pub(super) fn end(mut self) -> Value {
        self.stop();
        let mut logs = vec![format!("/root/{}.log", self.run)];
        for node in &self.watched {
            let log = self.site.lab.shell(node, "cat /opt/ledger.log; rm /opt/ledger.log") + "\n";
            let path = format!("/root/{}-{node}.log", self.run);
            let put = ["exec", "tools-1", "--", "sh", "-c", &format!("cat >{path}")];
            assert!(self.site.lab.with_input(&put, log.as_bytes()).status.success());
            logs.push(path);
        }
        let line = format!("exec python3 /opt/ledger.py read '{PLACE}' {}", logs.join(" "));
        let mut command = self.site.lab.command(&["exec", "tools-1", "--", "sh", "-c", &line]);
        let output = with_input(&mut command, &self.site.password());
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
    fn stop(&mut self) {
        let line = format!("pkill -f 'ledger.py write .* {}'", self.run);
        let _ = self.site.lab.run(&["exec", "tools-1", "--", "sh", "-c", &line]);
        let _ = self.child.wait();
        for node in &self.watched {
            let _ = self.site.lab.run(&["exec", node, "--", "systemctl", "disable", "--now", "--quiet", "ledger"]);
        }
    }
}

/// Of a test that failed nobody is left who writes on.
impl Drop for Ledger<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}
