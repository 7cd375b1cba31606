//! Where the values of secrets are, and where they are not.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::faults::get_as;
use crate::lab::{BROKEN, Lab, events, incus, said, with_input};
use crate::load::Load;
use crate::releases::{assert_unharmed, traffic};

#[test]
fn a_rotated_secret_rolls_through_the_replicas_under_load_and_fails_no_request() {
    let (_guard, lab) = Lab::shop();
    let asked = |token: &str| get_as(&format!("{}/api/v1/operator/connections", lab.front_door()), Some(token)).0;
    let (old, old_fingerprint) = (token(&lab), fingerprint(&lab));
    assert_eq!(asked(&old), 200);
    let load = Load::start(traffic(&lab));
    lab.ok(&["secrets", "rotate", "operator_token"]);
    let (new, new_fingerprint) = (token(&lab), fingerprint(&lab));
    let plan = lab.ok(&["plan"]);
    let change = format!("put the secret operator_token in place: it is {old_fingerprint}, not {new_fingerprint}");
    assert_eq!(plan.matches(&change).count(), 4, "every replica of both colours: {plan}");
    assert!(plan.contains("run api") && !plan.contains("~  web-"), "{plan}");
    lab.ok(&["up"]);
    let seen = load.stop();
    assert_unharmed(&seen);
    assert!(seen.closed_for_restart > 0, "no replica was restarted");
    for _ in 0..8 {
        assert_eq!((asked(&old), asked(&new)), (401, 200), "a replica still has the old value");
    }
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}

#[test]
fn a_secret_is_found_only_where_it_belongs() {
    let (_guard, lab) = Lab::shop();
    lab.ok(&["secrets", "rotate", "operator_token"]);
    let markers = markers(&lab);
    let watch = Watch::start(markers.clone());
    let said = everything_it_says(&lab);
    let seen_in_proc = watch.stop();
    assert!(seen_in_proc.is_empty(), "in arguments or environments of processes: {seen_in_proc:?}");
    for (what, text) in said {
        assert!(!has(&markers, &text), "a secret is in what `{what}` says");
    }
    for (what, text) in everything_incus_knows(&lab) {
        assert!(!has(&markers, &text), "a secret is in Incus: {what}");
    }
    assert_eq!(found_on_this_machine(&lab, &markers), "");
    for name in lab.status().keys() {
        let found = found_by(&markers, |script| lab.command(&["exec", name, "--", "sh", "-c", script]));
        // The file, and what systemd makes of it for the one process that reads it.
        let expected: &[&str] = match name.split('-').next() {
            Some("api") => &["/etc/api/credentials/operator_token", "/run/credentials/api.service/operator_token"],
            Some("lb") => &["/etc/haproxy/front.pem.key"],
            _ => &[],
        };
        assert_eq!(found, expected, "on {name}");
        let Some(file) = expected.first() else { continue };
        assert_eq!(lab.shell(name, &format!("stat -c '%U:%G %a' {file}")), "root:root 600", "{name}: {file}");
        let open = lab.shell(name, "find /etc/*/credentials /run/credentials -perm /o=rwx -path '*operator_token'");
        assert_eq!(open, "", "{name}: others may look into the credentials");
    }
}

/// A marker that nobody hides is found: by each way of looking.
#[test]
fn what_looks_for_secrets_finds_a_planted_one() {
    let (_guard, lab) = Lab::shop();
    let marker = vec![token(&lab).chars().rev().collect::<String>()];
    let watch = Watch::start(marker.clone());
    let mut planted = Command::new("sleep").arg("30").env("PLANTED", &marker[0]).spawn().unwrap();
    wait_for(|| watch.has_seen());
    planted.kill().unwrap();
    planted.wait().unwrap();
    assert!(!watch.stop().is_empty());
    let file = lab.folder.join("planted");
    fs::write(&file, &marker[0]).unwrap();
    assert_eq!(found_on_this_machine(&lab, &marker), file.to_str().unwrap());
    fs::remove_file(&file).unwrap();
    // On an instance: in a file, and said to its journal.
    lab.shell("web-blue-1", &format!("echo {0} >/root/planted; logger {0}; journalctl --sync", marker[0]));
    let found = found_by(&marker, |script| lab.command(&["exec", "web-blue-1", "--", "sh", "-c", script]));
    assert!(found.contains(&"the journal".to_owned()) && found.contains(&"/root/planted".to_owned()), "{found:?}");
    lab.shell("web-blue-1", "rm /root/planted");
    let project = lab.project();
    incus(&["project", "set", &project, &format!("user.planted={}", marker[0])]);
    let found = everything_incus_knows(&lab).iter().any(|(_, text)| has(&marker, text));
    incus(&["project", "unset", &project, "user.planted"]);
    assert!(found);
}

fn token(lab: &Lab) -> String {
    lab.ok(&["secrets", "show", "operator_token"]).trim().to_owned()
}

fn fingerprint(lab: &Lab) -> String {
    let events = events(&lab.run(&["secrets", "list", "--output", "json"]));
    let secret = events.iter().find(|event| event["name"] == "operator_token").unwrap();
    secret["fingerprint"].as_str().unwrap().to_owned()
}

fn markers(lab: &Lab) -> Vec<String> {
    let markers = markers_of(|verb| lab.run(&[&["secrets"], verb].concat()), &lab.folder.join("age.key"));
    assert!(markers.len() >= 3 && markers.contains(&token(lab)), "{} markers", markers.len());
    markers
}

/// The values of all secrets, line by line, those of the platform's own among them, and the age key that opens them.
pub(crate) fn markers_of(secrets: impl Fn(&[&str]) -> Output, age_key: &Path) -> Vec<String> {
    let events = events(&secrets(&["list", "--output", "json"]));
    let names = events.iter().filter(|event| event["type"] == "secret").map(|event| event["name"].as_str().unwrap());
    let mut text: String = names.map(|name| said(&secrets(&["show", name]))).collect();
    text.push_str(&fs::read_to_string(age_key).unwrap());
    let is_marker = |line: &&str| line.len() >= 32 && !line.starts_with(['#', '-']);
    text.lines().filter(is_marker).map(str::to_owned).collect()
}

/// Where markers lie on a machine that runs a shell's script: the files, or `the journal`.
pub(crate) fn found_by(markers: &[String], shell: impl Fn(&str) -> Command) -> Vec<String> {
    let patterns = markers.join("\n");
    let ask = |script: &str| {
        let output = with_input(&mut shell(script), patterns.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let in_journal = ask("set -e; journal=$(mktemp -p /dev/shm); trap 'rm $journal' EXIT
                          journalctl --no-pager --output export >$journal </dev/null; test -s $journal
                          grep -cF -f - $journal || test $? = 1");
    // The pools of a host hold the file systems of its instances, which are asked themselves.
    let files = ask("grep -rlsF -f - / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev \
                     --exclude-dir=storage-pools | sort; true");
    let journal = (in_journal.trim() != "0").then(|| "the journal".to_owned());
    journal.into_iter().chain(files.lines().map(str::to_owned)).collect()
}

fn has(markers: &[String], text: &str) -> bool {
    markers.iter().any(|marker| text.contains(marker))
}

/// What the verbs say, in text and as events: of runs that change, that change nothing, that fail and that are killed.
fn everything_it_says(lab: &Lab) -> Vec<(String, String)> {
    let runs: &[&[&str]] = &[
        &["plan", "--verbose"],
        &["plan", "--lines"],
        &["plan", "--output", "json"],
        &["up", "--output", "json"],
        &["up", "--verbose"],
        &["deploy", BROKEN, "--verbose"],
        &["deploy", lab.other(), "--output", "json"],
        &["rollback", "--verbose"],
        &["status", "--output", "json"],
        &["history", "--output", "json"],
        &["logs", "api-blue-1", "--lines", "500"],
        &["secrets", "list"],
        &["secrets", "show", "no_such_secret"],
        &["up", "--age-key", "/dev/null"],
        &["up", "--only", "nothing"],
        &["check", "--verbose"],
    ];
    let mut all: Vec<(String, String)> =
        runs.iter().map(|arguments| (arguments.join(" "), said(&lab.run(arguments)))).collect();
    assert!(all[0].1.contains("operator_token"), "the rotation is not in the plan: {}", all[0].1);
    assert!(all[5].1.contains("last log lines"), "the failing run did not fail: {}", all[5].1);
    let mut killed = String::new();
    lab.kill_at(&["deploy", lab.other()], |number, event| {
        killed.push_str(&event.to_string());
        number == 60
    });
    lab.ok(&["deploy", lab.other()]);
    all.push(("a killed deploy".to_owned(), killed));
    all
}

fn everything_incus_knows(lab: &Lab) -> Vec<(String, String)> {
    let project = lab.project();
    let mut paths: Vec<String> = [
        "/1.0".to_owned(),
        "/1.0/projects?recursion=1".to_owned(),
        "/1.0/instances?recursion=2&all-projects=true".to_owned(),
        format!("/1.0/profiles?recursion=1&project={project}"),
        "/1.0/networks?recursion=1".to_owned(),
        "/1.0/images?recursion=1".to_owned(),
        "/1.0/operations?recursion=1&all-projects=true".to_owned(),
        "/1.0/storage-pools?recursion=1".to_owned(),
        "/1.0/certificates?recursion=1".to_owned(),
        "/1.0/warnings?recursion=1".to_owned(),
    ]
    .into();
    for name in lab.status().keys() {
        paths.push(format!("/1.0/instances/{name}/metadata?project={project}"));
        paths.push(format!("/1.0/instances/{name}/logs?recursion=1&project={project}"));
    }
    let ask = |path: String| {
        let output = Command::new("incus").args(["query", &path]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success() && output.stdout.len() > 1, "{path}: {}", said(&output));
        (path, said(&output))
    };
    paths.into_iter().map(ask).collect()
}

/// Files of the operator's machine: the repository, the cache, memory, and what Incus keeps beside its instances.
fn found_on_this_machine(lab: &Lab, markers: &[String]) -> String {
    let cache = std::env::var("HOME").map(|home| format!("{home}/.cache/bascule")).unwrap();
    let mut grep = Command::new("grep");
    // The age key, and the key that the test itself made for the front door, lie in the test's own folder.
    grep.args(["-rlsF", "-f", "-", "--exclude=age.key", "--exclude=front.key"]).args([
        "/dev/shm",
        "/var/log/incus",
        "/var/lib/incus/database",
    ]);
    let mut child = grep.arg(cache).arg(&lab.folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(markers.join("\n").as_bytes()).unwrap();
    let Output { stdout, .. } = child.wait_with_output().unwrap();
    String::from_utf8(stdout).unwrap().trim().to_owned()
}

/// Looks at the arguments and the environment of every process, those in the instances among them, until it is stopped.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<BTreeSet<String>>,
}

impl Watch {
    fn start(markers: Vec<String>) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (stopped, has_seen) = (stop.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            let mut found = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                look(&markers, &mut found);
                has_seen.store(!found.is_empty(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
            found
        });
        Self { stop, seen, thread }
    }

    fn has_seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn look(markers: &[String], found: &mut BTreeSet<String>) {
    for process in fs::read_dir("/proc").unwrap().flatten() {
        if !process.file_name().to_string_lossy().starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        for what in ["cmdline", "environ"] {
            // A process may have ended meanwhile.
            let Ok(bytes) = fs::read(process.path().join(what)) else { continue };
            if has(markers, &String::from_utf8_lossy(&bytes)) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                found.insert(format!("{what} of {}", name.trim()));
            }
        }
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}
