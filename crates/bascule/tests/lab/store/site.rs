use std::fs;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::edge::site::ask;
use crate::lab::{A, BETWEEN_LOOKS, Lab, archive, events, folder, now_ms, said, with_input};

pub(super) const NODES: [&str; 4] = ["store-1", "store-2", "store-3", "store-4"];

/// How long anything may take here before a test gives up: no promise, and no figure.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// A store, and an instance from which somebody uses it.
pub(crate) struct Site {
    pub(crate) lab: Lab,
    _one_at_a_time: MutexGuard<'static, ()>,
}

const PLATFORM: &str = r#"
name = "store"

[network]
bridge = "bslt-store"
subnet = "10.99.37.0/24"

[incus]
project = "bascule-test-store"

[ssh]
allow_from = ["10.99.37.0/24"]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH nobody"]

[release]
artifacts = "artifacts"

[load_balancer]
topology = "multi-instance"
instances = 2
address = "10.99.37.9"
connections_max = 1000

[component.web]
kind = "static"
replicas = 1
default = true

[component.api]
kind = "binary"
replicas = 2
port = 8080
routes = ["/api/"]
health = "/api/health"
version = "/api/version"
uses = ["store"]

[store]
volume = "6GiB"

[store.bucket.own]
users = ["api"]

[store.bucket.media]
users = ["tools"]
readers = ["other"]
versioning = true
cors_origins = ["https://shop.example"]

[store.bucket.scratch]
users = ["tools"]
expire_days = 3

[store.bucket.archive]
users = ["tools"]
cold_after_days = 1

[store.bucket.small]
users = ["tools"]
quota = "4MiB"

[store.bucket.private]
users = ["other"]

[edge]
bucket = "media"
routes = ["/media/"]
signing_key = "media_key"
cache_max = "256MiB"

[group.tools]
instances = 1
uses = ["store"]

[group.other]
instances = 1
uses = ["store"]
"#;

impl Site {
    pub(crate) fn up() -> Self {
        static FILES: OnceLock<()> = OnceLock::new();
        static READY: OnceLock<()> = OnceLock::new();
        let (guard, lab) = Lab::of(Self::folder(), "store");
        let site = Self { lab, _one_at_a_time: guard };
        FILES.get_or_init(|| {
            let folder = Self::folder();
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("env")).unwrap();
            fs::create_dir_all(folder.join("artifacts").join(A)).unwrap();
            fs::write(folder.join("platform.toml"), PLATFORM).unwrap();
            site.change("");
            let version = format!("{{\"commit\":\"{A}\"}}");
            let of = |component: &str| folder.join("artifacts").join(A).join(format!("{component}.tar.gz"));
            archive(&of("web"), &[("version.json", &version, "0644")]);
            archive(&of("api"), &[("bin/api", include_str!("api.py"), "0755")]);
            site.lab.ok(&["init", folder.to_str().unwrap()]);
            let set = site.lab.with_input(&["secrets", "set", "media_key"], SIGNING_KEY.as_bytes());
            assert!(set.status.success(), "{}", said(&set));
        });
        READY.get_or_init(|| {
            site.lab.ok(&["up"]);
            assert_eq!(site.lab.summary(&["up"])["changed"], 0);
            for instance in ["tools-1", "api-1", "api-2"] {
                site.lab.ok(&["exec", instance, "--", "sh", "-c", INSTALL]);
            }
            let put = ["exec", "tools-1", "--", "sh", "-c", "cat >/root/s3.py"];
            assert!(site.lab.with_input(&put, include_bytes!("s3.py")).status.success());
        });
        site.wait_until_whole();
        site
    }

    fn folder() -> PathBuf {
        folder().with_file_name("lab-store")
    }

    /// Writes the environment's overlay.
    pub(crate) fn change(&self, overlay: &str) {
        fs::write(Self::folder().join("env/store.toml"), overlay).unwrap();
    }

    pub(crate) fn address(&self, instance: &str) -> String {
        self.lab.known_address(instance)
    }

    /// Waits until all nodes keep data, all have a voice, no object lacks a part, and load balancers ask all gateways.
    pub(crate) fn wait_until_whole(&self) {
        let began = Instant::now();
        loop {
            let told = self.status();
            let whole = self.lab.run(&["exec", "store-1", "--", "/usr/local/lib/bascule/store", "whole"]);
            let seen = ["lb-1", "lb-2"]
                .map(|balancer| self.lab.shell(balancer, "/usr/local/lib/bascule/haproxy-servers store && echo all"));
            let are_served = seen.iter().all(|seen| seen == "all");
            if told["away"] == 0 && told["parts_missing"] == 0 && whole.status.success() && are_served {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{told}\n{}\n{seen:?}", said(&whole));
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// `store status`: who is away, how many parts are missing, how many alerts there are and whether one is urgent.
    pub(crate) fn status(&self) -> Value {
        let told = events(&self.lab.run(&["store", "status", "--output", "json"]));
        let of = |kind: &str| told.iter().filter(move |event| event["type"] == kind).cloned().collect::<Vec<Value>>();
        let away = |node: &&Value| node["keeps_data"] == false || node["votes"] == false;
        json!({
            "away": of("store_node").iter().filter(away).count() + usize::from(of("store_node").is_empty()),
            "parts_missing": of("store").first().map_or(Value::Null, |store| store["parts_missing"].clone()),
            "alerts": of("alert").len(),
            "page": of("alert").iter().any(|alert| alert["severity"] == "page"),
            "said": of("alert"),
        })
    }

    pub(super) fn key(&self, user: &str) -> Vec<u8> {
        let output = self.lab.run(&["secrets", "show", &format!("bascule/store/user/{user}")]);
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    }

    fn script(arguments: &[&str]) -> String {
        format!("S3_ENDPOINT=https://10.99.37.9:9000 exec python3 /root/s3.py {}", arguments.join(" "))
    }

    /// What the client says, with a key of one's own.
    pub(super) fn s3_with(&self, key: &[u8], arguments: &[&str]) -> Output {
        let script = Self::script(arguments);
        with_input(&mut self.lab.command(&["exec", "tools-1", "--", "sh", "-c", &script]), key)
    }

    pub(crate) fn s3(&self, user: &str, arguments: &[&str]) -> String {
        let output = self.s3_with(&self.key(user), arguments);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn put(&self, key: &str, text: &str) {
        let write = ["exec", "tools-1", "--", "sh", "-c", "cat >/root/object"];
        assert!(self.lab.with_input(&write, text.as_bytes()).status.success());
        self.s3("tools", &["put", "media", key, "/root/object"]);
    }

    pub(crate) fn get(&self, key: &str) -> String {
        self.s3("tools", &["get", "media", key])
    }

    /// Another S3 server, on `other-1`; its URL.
    pub(super) fn other_server(&self) -> String {
        let install = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3-moto python3-flask python3-flask-cors python3-docker >/dev/null";
        self.lab.ok(&["exec", "other-1", "--", "sh", "-c", install]);
        let run = "systemctl reset-failed moto 2>/dev/null; systemctl is-active --quiet moto || systemd-run --quiet --unit moto python3 -c 'import sys; from moto.server import main; main(sys.argv[1:])' -H 0.0.0.0 -p 5000";
        self.lab.ok(&["exec", "other-1", "--", "sh", "-c", run]);
        self.lab.ok(&[
            "exec", "other-1", "--", "nft", "insert", "rule", "inet", "bascule", "input", "tcp", "dport", "5000",
            "accept",
        ]);
        format!("http://{}:5000", self.address("other-1"))
    }

    pub(super) fn fill(&self, url: &str) {
        let filled = self.s3_at(url, &["fill", "old"]);
        assert!(filled.status.success(), "{}", said(&filled));
    }

    /// The client, at another server.
    pub(super) fn s3_at(&self, url: &str, arguments: &[&str]) -> Output {
        let script = format!("S3_ENDPOINT={url} S3_REGION=us-east-1 exec python3 /root/s3.py {}", arguments.join(" "));
        with_input(&mut self.lab.command(&["exec", "tools-1", "--", "sh", "-c", &script]), ANY_KEY)
    }

    pub(super) fn migrate(&self, from: &str, arguments: &[&str]) -> Output {
        self.lab.with_input(&[&["store", "migrate", "--from", from], arguments].concat(), ANY_KEY)
    }

    /// How many objects were written, how many writes failed, and which of those that were answered are lost.
    pub(super) fn read(&self, file: &str) -> Value {
        serde_json::from_str(&self.s3("tools", &["read", file])).unwrap()
    }

    pub(super) fn reads_everything(&self, writes: &Writes<'_>) {
        let read = self.read(&writes.file());
        assert_eq!(read["lost"], Value::Array(Vec::new()), "{read}");
    }
}

/// Somebody who has the component write objects and read them back, again and again, one after the other.
pub(super) struct Asks {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Asks {
    pub(super) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut right, mut wrong) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let answer = ask(reqwest::Method::GET, "http://10.99.37.9/api/keep", &[]);
                match answer.status {
                    200 => right += 1,
                    status => wrong.push(format!("{status} {}", String::from_utf8_lossy(&answer.body))),
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            (right, wrong)
        });
        Self { stop, thread }
    }

    /// How often all was well, and what was not.
    pub(super) fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

pub(super) const SIGNING_KEY: &str = "by which URLs are signed";

/// The other server takes any.
const ANY_KEY: &[u8] = b"[default]\naws_access_key_id = any\naws_secret_access_key = any\n";

const INSTALL: &str = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3-boto3 >/dev/null";

/// Somebody who writes all the time.
pub(super) struct Writes<'a> {
    site: &'a Site,
    child: Child,
    prefix: String,
}

impl<'a> Writes<'a> {
    pub(super) fn start(site: &'a Site) -> Self {
        let prefix = format!("w{}", now_ms());
        let line = format!("{} >/root/{prefix}.log", Site::script(&["write", &prefix]));
        let mut command = site.lab.command(&["exec", "tools-1", "--", "sh", "-c", &line]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, &site.key("tools")).unwrap();
        drop(stdin);
        let writes = Self { site, child, prefix };
        writes.go_on();
        writes
    }

    fn file(&self) -> String {
        format!("/root/{}.log", self.prefix)
    }

    fn answered(&self) -> usize {
        let count = self.site.lab.shell("tools-1", &format!("grep -c sha256 {}", self.file()));
        count.trim().parse().unwrap_or_default()
    }

    /// Waits until so many more are answered that they cannot have been under way before.
    pub(super) fn go_on(&self) {
        let (before, began) = (self.answered(), Instant::now());
        while self.answered() < before + 40 {
            let last = || self.site.lab.shell("tools-1", &format!("tail -n 3 {}", self.file()));
            assert!(began.elapsed() < PATIENCE, "no write is accepted any more: {}", last());
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Ends it, and gives the file that tells what it wrote.
    pub(super) fn stop(mut self) -> String {
        let _ = self.site.lab.shell("tools-1", &format!("pkill -f 's3.py write {}'", self.prefix));
        let _ = self.child.wait();
        self.file()
    }

    /// Ends it, and reads everything back.
    pub(super) fn end(self) -> Value {
        let site = self.site;
        let file = self.stop();
        site.read(&file)
    }
}
