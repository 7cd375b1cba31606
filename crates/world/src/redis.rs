//! Redis and its Sentinels, as far as the steps of the platform ask for them: who is the master is decided among those that
//! run, at once where a master is lost, and kept by each Sentinel on its disk.

use bascule_agent::Finished;
use bascule_agent::fake::Machine;
use bascule_spec::Instance;

use crate::behaviour::{Model, SCRIPTS};

pub(crate) const SERVER: &str = "redis-server.service";
pub(crate) const SENTINEL: &str = "redis-sentinel.service";
pub(crate) const EXPORTER: &str = "prometheus-redis-exporter.service";
const SENTINEL_PORT: &str = ":26379";
const DATA: &str = "/var/lib/redis";
/// What a Sentinel keeps: the name of the master.
const KNOWN: &str = "/var/lib/redis/sentinel/sentinel.conf";
/// A member that has had all data.
const COMPLETE: &str = "/var/lib/redis/complete";
/// The passwords that a Redis knows, by the stages of replacing them: what the platform had when it started, until that is
/// changed.
const PASSWORDS: &str = "/run/redis/passwords";
const STAGES: [&str; 3] = ["add", "use", "only"];
const CREDENTIALS: &str = "/etc/redis/credentials";

impl Model {
    pub(crate) fn furnish_redis(&self, machine: &Machine, name: &str) {
        machine.unit_reads(SERVER, &["/etc/redis/bascule.conf"], &["/etc/redis/tls.pem"]);
        machine.unit_reads(
            SENTINEL,
            &["/etc/redis/sentinel-bascule.conf", "/etc/redis/sentinel-main.conf", "/etc/redis/tls.pem"],
            &[],
        );
        machine.unit_reads(EXPORTER, &["/etc/redis/credentials/member"], &[]);
        let machines = self.machines().clone();
        machine.on_tcp(move |machine, address| {
            match address.ends_with(SENTINEL_PORT) && !machine.is_active(SENTINEL) {
                true => Err("connection refused".to_owned()),
                false => Ok(()),
            }
        });
        let of = machines.clone();
        machine.on_command(&format!("{SCRIPTS}/redis-form"), move |machine, argv| {
            let answer = Self::of(&of, |model| model.form(machine, &argv[1]));
            finished(answer.unwrap_or(Err("nobody answers".to_owned())))
        });
        let (own, of) = (name.to_owned(), machines.clone());
        machine.on_command(&format!("{SCRIPTS}/redis-health"), move |machine, _| {
            let answer = Self::of(&of, |model| model.redis_serves(machine, &own));
            finished(answer.unwrap_or(Err("nobody answers".to_owned())))
        });
        machine.on_command(&format!("{SCRIPTS}/redis-users"), |machine, argv| {
            let wanted = passwords(machine);
            let path = format!("{PASSWORDS}/{}", argv[1]);
            let known = machine.content(&path);
            let is_right = machine.is_active(SERVER) && known.as_ref().is_none_or(|known| *known == wanted);
            if argv[2] == "check" {
                return finished(if is_right { Ok(()) } else { Err("another password".to_owned()) });
            }
            machine.put_file(&path, wanted);
            finished(Ok(()))
        });
    }

    fn members(&self) -> Vec<&Instance> {
        self.platform().redis_members().collect()
    }

    /// A member's machine, while it runs.
    fn running(&self, member: &Instance) -> Option<Machine> {
        self.machines().upgrade()?.host(&member.name).filter(|host| host.running).map(|host| host.machine)
    }

    /// Whom the Sentinels take for the master. One that is lost is replaced, where most Sentinels are there to agree.
    fn master(&self) -> Option<String> {
        let members = self.members();
        let machines: Vec<(&str, Machine)> =
            members.iter().filter_map(|member| Some((member.name.as_str(), self.running(member)?))).collect();
        let watching: Vec<&(&str, Machine)> =
            machines.iter().filter(|(_, it)| it.is_active(SENTINEL) && it.content(KNOWN).is_some()).collect();
        let known = watching.first().and_then(|(_, it)| it.content(KNOWN))?;
        let serves = |name: &str| machines.iter().any(|(member, it)| *member == name && it.is_active(SERVER));
        if serves(&known) || watching.len() <= members.len() / 2 {
            return Some(known);
        }
        let promoted = machines.iter().find(|(_, it)| it.is_active(SERVER) && it.content(COMPLETE).is_some());
        let Some((promoted, _)) = promoted else { return Some(known) };
        for (_, it) in watching {
            it.put_file(KNOWN, *promoted);
        }
        Some((*promoted).to_owned())
    }

    fn form(&self, machine: &Machine, mode: &str) -> Result<(), String> {
        let known = self.master();
        if mode == "check" {
            return machine.content(KNOWN).map(drop).ok_or_else(|| "Sentinel watches no master yet".to_owned());
        }
        let answers = |member: &&Instance| self.running(member).is_some_and(|it| it.is_active(SENTINEL));
        if known.is_none() && !self.members().iter().all(answers) {
            return Err("no Sentinel knows a master, and not all of them answer".to_owned());
        }
        if matches!(mode, "ready" | "known") {
            return Ok(());
        }
        let first = self.members().first().map(|member| member.name.clone()).unwrap_or_default();
        machine.may_be_killed();
        machine.put_file(KNOWN, known.unwrap_or(first));
        Ok(())
    }

    fn redis_serves(&self, machine: &Machine, own: &str) -> Result<(), String> {
        if !machine.is_active(SERVER) {
            return Err("Redis does not answer".to_owned());
        }
        let master = self.master().ok_or("no Sentinel knows a master")?;
        let has_data = |it: &Machine| it.content(COMPLETE).is_some();
        // All Sentinels answer, and none has ever seen a replica.
        let is_new = || {
            let watches = |it: &Machine| it.is_active(SENTINEL) && it.content(KNOWN).is_some() && !has_data(it);
            self.members().iter().all(|member| self.running(member).is_some_and(|it| watches(&it)))
        };
        let serves = match master == own {
            true => has_data(machine) || is_new(),
            false => {
                let member = self.members().into_iter().find(|member| member.name == master);
                member.and_then(|member| self.running(member)).is_some_and(|it| it.is_active(SERVER) && has_data(&it))
            }
        };
        if !serves {
            return Err(format!("{master} is the master, and has no data"));
        }
        machine.put_file(COMPLETE, "");
        for path in STAGES.map(|stage| format!("{PASSWORDS}/{stage}")) {
            if machine.content(&path).is_none() {
                machine.put_file(&path, passwords(machine));
            }
        }
        Ok(())
    }

    /// A member that takes part: until it has all data, nobody counts on it.
    pub(crate) fn is_member_up(&self, member: &Instance) -> bool {
        let serves = |it: Machine| it.is_active(SERVER) && it.is_active(SENTINEL) && it.content(COMPLETE).is_some();
        self.running(member).is_some_and(serves)
    }
}

/// Not compared between two worlds: who is the master is the Sentinels' own.
pub(crate) fn is_theirs(path: &str) -> bool {
    path.starts_with(DATA)
}

fn passwords(machine: &Machine) -> String {
    let paths = machine.paths_below(CREDENTIALS);
    paths.iter().filter_map(|path| machine.content(path)).collect::<Vec<_>>().join("\n")
}

fn finished(done: Result<(), String>) -> Finished {
    match done {
        Ok(()) => Finished::exited(0, ""),
        Err(why) => Finished::exited(1, why),
    }
}
