//! The lock, between processes on one machine, and (in a pid namespace of its own) as if from another one.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::{Lab, incus, said};

/// A verb that was stopped (as by Ctrl-Z) right after it began to apply its plan, with the lock held.
struct Asleep {
    child: Child,
    /// Read to its end, so that nothing that it says is in its way.
    output: BufReader<std::process::ChildStdout>,
}

impl Asleep {
    fn new(lab: &Lab, arguments: &[&str]) -> Self {
        let arguments = [arguments, &["--output", "json"]].concat();
        let mut child = lab.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("\"name\":\"apply\"") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "{arguments:?} ended with nothing to apply");
        }
        let asleep = Self { child, output };
        asleep.signal(Signal::SIGSTOP);
        asleep
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Lets it go on, and gives what it said and whether it ended well.
    fn wake(mut self) -> (String, bool) {
        self.signal(Signal::SIGCONT);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.output, &mut said).unwrap();
        (said, self.child.wait().unwrap().success())
    }
}

/// Whichever comes first: the next look at the lease, the next change, or the next step on an instance.
fn tells_of_the_loss(said: &str) -> bool {
    said.contains("the lock was lost") || said.contains("has lost the lock")
}

/// Something for the next `up` to do, out of traffic.
fn unmake_an_idle_replica(lab: &Lab) -> String {
    let idle = lab.status().into_values().find(|status| status["active"] == false).unwrap();
    let idle = idle["name"].as_str().unwrap().to_owned();
    incus(&["delete", "--force", "--project", &lab.project(), &idle]);
    idle
}

/// The same verb where the process ids of this machine mean nothing, as on any other.
fn from_elsewhere(lab: &Lab, arguments: &[&str]) -> Output {
    let local = lab.command(arguments);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc"]).arg(local.get_program()).args(local.get_args());
    command.envs(local.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn of_two_runs_at_once_one_works_and_the_other_says_who_holds_the_lock() {
    let (_guard, lab) = Lab::shop();
    let idle = unmake_an_idle_replica(&lab);
    let first = Asleep::new(&lab, &["up"]);
    for verb in [&["up"][..], &["deploy", lab.other()], &["rollback"], &["down", "--yes-destroy", "shop"]] {
        let second = lab.run(verb);
        assert_eq!(second.status.code(), Some(1), "{}", said(&second));
        assert!(
            said(&second).contains("the lock is held by") && said(&second).contains("(up, for"),
            "{}",
            said(&second)
        );
        assert!(said(&second).contains("--lock-wait"), "{}", said(&second));
    }
    let status = lab.run(&["status"]);
    assert!(said(&status).contains("locked by"), "{}", said(&status));
    lab.run(&["plan"]);
    let waiting = lab.command(&["up", "--lock-wait", "2m"]).stdout(Stdio::null()).spawn().unwrap();
    let (said_by_first, well) = first.wake();
    assert!(well, "{said_by_first}");
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert_eq!(lab.status()[&idle]["state"], "running");
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}

#[test]
fn a_holder_that_slept_past_its_lease_changes_nothing_more() {
    let (_guard, lab) = Lab::shop();
    let idle = unmake_an_idle_replica(&lab);
    let first = Asleep::new(&lab, &["up"]);
    let taken = from_elsewhere(&lab, &["up", "--lock-wait", "60s"]);
    assert!(taken.status.success(), "{}", said(&taken));
    assert!(said(&taken).contains("taking the lock over from"), "{}", said(&taken));
    let made = lab.shell(&idle, "stat -c %Y /etc/machine-id; cat /proc/sys/kernel/random/boot_id");
    let (said_by_first, well) = first.wake();
    assert!(!well && tells_of_the_loss(&said_by_first), "{said_by_first}");
    assert_eq!(lab.shell(&idle, "stat -c %Y /etc/machine-id; cat /proc/sys/kernel/random/boot_id"), made);
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}

#[test]
fn the_lock_of_a_killed_holder_is_free_at_once_here_and_after_its_lease_elsewhere() {
    let (_guard, lab) = Lab::shop();
    for elsewhere in [false, true] {
        unmake_an_idle_replica(&lab);
        let mut first = Asleep::new(&lab, &["up"]);
        first.child.kill().unwrap();
        first.child.wait().unwrap();
        if !elsewhere {
            lab.ok(&["up"]);
            continue;
        }
        let refused = from_elsewhere(&lab, &["up"]);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        let waited = from_elsewhere(&lab, &["up", "--lock-wait", "60s"]);
        assert!(waited.status.success(), "{}", said(&waited));
    }
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}

#[test]
fn unlock_explains_before_it_acts_and_then_ends_the_holder() {
    let (_guard, lab) = Lab::shop();
    assert!(lab.ok(&["unlock"]).contains("nobody holds the lock"));
    unmake_an_idle_replica(&lab);
    let first = Asleep::new(&lab, &["up"]);
    let explained = lab.run(&["unlock"]);
    assert_eq!(explained.status.code(), Some(2), "{}", said(&explained));
    let text = said(&explained);
    let generation = text.split("--generation ").nth(1).and_then(|rest| rest.split('`').next()).unwrap().to_owned();
    let stale = lab.run(&["unlock", "--generation", "1"]);
    assert_eq!(stale.status.code(), Some(2), "{}", said(&stale));
    lab.ok(&["unlock", "--generation", &generation]);
    let (said_by_first, well) = first.wake();
    assert!(!well && tells_of_the_loss(&said_by_first), "{said_by_first}");
    std::thread::sleep(Duration::from_secs(1));
    lab.ok(&["up"]);
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}
