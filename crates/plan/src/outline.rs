//! A plan as a person reads it.

use std::fmt::{self, Write};

use crate::{Certificate, Content, Line, LineItem, MachineAction, Plan, Probe, Resource, Secret, UnitState, Usage};

impl Plan {
    /// The plan as text: for each instance its line from top to bottom, one item a line, with what it makes and where
    /// it waits. It ends with a newline, unless the plan is empty.
    pub fn outline(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            if !text.is_empty() {
                text.push('\n');
            }
            line.outline(&mut text);
        }
        for (name, lease) in &self.leases {
            let _ = write!(text, "\nlease `{name}`: {} at a time", lease.capacity);
            let order = lease.order.join(", ");
            text.push_str(&if order.is_empty() { "\n".to_owned() } else { format!(", in the order {order}\n") });
        }
        text
    }
}

impl Line {
    fn outline(&self, text: &mut String) {
        let roles = self.roles.join(", ");
        match &self.machine {
            None => {
                let _ = writeln!(text, "{}: {roles}", self.instance);
            }
            Some(machine) => {
                let _ = writeln!(text, "{} ({}): {roles}", self.instance, machine.address);
                let _ = writeln!(text, "  {} the instance: {}", machine.action, machine.reason);
                for (key, value) in &machine.config {
                    let _ = writeln!(text, "    {key} = {value}");
                }
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        for item in &self.items {
            let _ = writeln!(text, "  {item}");
        }
    }
}

impl fmt::Display for LineItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "{}: {} [{}]", step.id, step.title, step.resource),
            Self::Reach(milestone) => write!(f, "-> reach `{milestone}`"),
            Self::Await(milestone) => write!(f, "<- wait for `{milestone}`"),
            Self::AwaitFor { milestone, steps } => {
                write!(f, "<- before {}: wait for `{milestone}`", steps.join(", "))
            }
            Self::Take(lease) => write!(f, "-> take the lease `{lease}`"),
            Self::Release(lease) => write!(f, "<- give back the lease `{lease}`"),
        }
    }
}

impl fmt::Display for MachineAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Start => "start",
            Self::Create => "create",
            Self::Rebuild => "rebuild",
        })
    }
}

/// What a step makes, in a few words. A file's content is not among them.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages(packages) => write!(f, "packages {}", packages.names.join(" ")),
            Self::User(user) => write!(f, "{}user {}", if user.system { "system " } else { "" }, user.name),
            Self::Directory(dir) => write!(f, "directory {} {}:{} {:04o}", dir.path, dir.owner, dir.group, dir.mode),
            Self::File(file) => {
                write!(f, "file {} {}:{} {:04o}", file.path, file.owner, file.group, file.mode)?;
                if let Content::Secret(Secret { name, fingerprint }) = &file.content {
                    write!(f, ", the secret {name} ({fingerprint})")?;
                }
                if let Some(program) = file.validate.first() {
                    write!(f, ", if {program} accepts it")?;
                }
                Ok(())
            }
            Self::Certificate(certificate) => {
                let Certificate { path, owner, group, mode, usage, lifetime_days, .. } = &**certificate;
                write!(f, "certificate {path} {owner}:{group} {mode:04o}, {usage} of {}", certificate.subjects())?;
                write!(f, ", {lifetime_days} days by {}", certificate.authority.key)
            }
            Self::Symlink(symlink) => write!(f, "symlink {} -> {}", symlink.path, symlink.target),
            Self::Archive(archive) => write!(f, "archive {} of {}", archive.path, archive.blob.name),
            Self::Sysctl(sysctl) => write!(f, "sysctl {} = {}", sysctl.key, sysctl.value),
            Self::Unit(unit) => {
                write!(f, "unit {} {}", unit.name, unit.state)?;
                if !unit.inputs.is_empty() {
                    write!(f, ", restarts by {}", unit.inputs.join(" "))?;
                }
                if !unit.reload_inputs.is_empty() {
                    write!(f, ", reloads by {}", unit.reload_inputs.join(" "))?;
                }
                Ok(())
            }
            Self::Command(command) => write!(f, "unless `{}`: `{}`", command.unless.join(" "), command.argv.join(" ")),
            Self::Wait(wait) => {
                let end = match wait.on_timeout {
                    crate::OnTimeout::Fail => "",
                    crate::OnTimeout::GoOn => ", then go on",
                    crate::OnTimeout::RestartUnit => ", then restart it once",
                };
                write!(f, "at most {} s until {}{end}", wait.timeout_ms as f64 / 1000.0, wait.probe)
            }
        }
    }
}

impl Certificate {
    /// All it is good for: names, then addresses.
    pub fn subjects(&self) -> String {
        self.names.iter().cloned().chain(self.addresses.iter().map(ToString::to_string)).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Peer => "server and client",
        })
    }
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Masked => "masked",
        })
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, contains: None } => write!(f, "{url} answers 200"),
            Self::Http { url, contains: Some(part) } => write!(f, "{url} answers 200 with {part}"),
            Self::Tcp { address } => write!(f, "{address} accepts a connection"),
            Self::Command { argv } => write!(f, "`{}` succeeds", argv.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{awaits, lease, line, plan, reaches, releases, step, takes, wait};

    #[test]
    fn a_reader_follows_one_line_from_top_to_bottom() {
        let mut held_back = line("b", []);
        held_back.notes.push("nothing was released to it yet".into());
        let plan = plan(
            [
                line("a", [awaits("m"), takes("l"), step("r/g/s"), wait("r/g/w"), releases("l"), reaches("n")]),
                held_back,
            ],
            [lease("l", 1, ["a"])],
        );
        assert_eq!(
            plan.outline(),
            "\
a (10.0.0.2): common
  keep the instance: it runs
    limits.cpu = 2
  <- wait for `m`
  -> take the lease `l`
  r/g/s: let queues be long [sysctl net.core.somaxconn = 4096]
  r/g/w: wait for the port [at most 5 s until 127.0.0.1:80 accepts a connection]
  <- give back the lease `l`
  -> reach `n`

b (10.0.0.2): common
  keep the instance: it runs
    limits.cpu = 2
  note: nothing was released to it yet

lease `l`: 1 at a time, in the order a
"
        );
    }
}
