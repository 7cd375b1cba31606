use std::path::PathBuf;
use std::process::ExitCode;

use bascule_engine::{Converged, Pins};
use bascule_plan::event::{Event, Stream, Summary};
use bascule_spec::Transport;
use clap::{Args, Subcommand};

use crate::cli::Common;
use crate::failure::{Exit, Failed};
use crate::{hosts, runtime, setup};

pub(crate) const EXAMPLES: &str = "\
Examples:
  bascule host pin h1 --env prod           show the key of a machine, to be compared on its console
  bascule host up --env prod               make servers of all machines of `prod`
  bascule host plan h1 --env prod          what would `host up` change on one of them?";

const UP_EXAMPLES: &str = "\
Examples:
  bascule host up --env prod                              all hosts of `prod`
  bascule host up h2 --env prod --identity ~/.ssh/ops     one of them, with a key that `ssh` would not find by itself";

const PLAN_EXAMPLES: &str = "\
Examples:
  bascule host plan --env prod             what would `host up` change?
  bascule host plan h1 --env prod --lines  every step of one host, from top to bottom";

const PIN_EXAMPLES: &str = "\
Examples:
  bascule host pin h1 --env prod
  bascule host pin h1 --env prod --fingerprint SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make Incus servers of the hosts; a second run changes nothing
    ///
    /// Hardened SSH, fail2ban, security updates, metrics, kernel limits, Incus with its pool, and a firewall that admits
    /// `[ssh] allow_from` only. Where operators come by HTTPS also the environment's bridge, its restricted project and
    /// the certificate that is trusted with it, which is made where there is none: commit it. A pool that is there is never
    /// touched, and nobody is locked out who asks.
    #[command(after_help = UP_EXAMPLES)]
    Up(Which),
    /// Show what `host up` would change, and change nothing
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(PlanArguments),
    /// Show the key of a host, and pin it once you have compared it
    ///
    /// Whoever answers at the address shows the key; only the machine's own console says whether it is the right one. So
    /// the fingerprint has to be given back. A host that was installed anew is pinned anew in the same way.
    #[command(after_help = PIN_EXAMPLES)]
    Pin(PinArguments),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Only these hosts; all that have an address where none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The private key to log in with; without it, what `ssh` would use by itself
    #[arg(long, value_name = "FILE", env = "BASCULE_SSH_IDENTITY")]
    pub(crate) identity: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    which: Which,
    /// Show every line from top to bottom instead of what differs
    #[arg(long)]
    lines: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PinArguments {
    #[arg(value_name = "NAME")]
    name: String,
    /// The fingerprint as the machine itself shows it, as proof that you have compared it
    #[arg(long, value_name = "SHA256:…")]
    fingerprint: Option<String>,
}

pub(crate) fn run(common: &Common, verb: Verb) -> ExitCode {
    match verb {
        Verb::Up(which) => up(common, &which),
        Verb::Plan(arguments) => plan(common, &arguments),
        Verb::Pin(arguments) => pin(common, &arguments),
    }
}

fn up(common: &Common, which: &Which) -> ExitCode {
    hosts::session(common, which, "host up", true, async |session| {
        let plan = session.plan().await?;
        let converged = session.run.converge(&plan).await?;
        if converged == Converged::Failed || !session.run.failures().is_empty() {
            return Ok(Exit::Failed);
        }
        session.bring_certificate().await?;
        Ok(Exit::Done)
    })
}

fn plan(common: &Common, arguments: &PlanArguments) -> ExitCode {
    hosts::session(common, &arguments.which, "host plan", false, async |session| {
        let plan = session.plan().await?;
        if arguments.lines {
            let text = plan.outline();
            let bytes = text.clone().into_bytes();
            session.run.emit(Event::Output { instance: String::new(), stream: Stream::Stdout, text, bytes });
        } else {
            session.run.plan(&plan).await?;
        }
        Ok(if session.run.failures().is_empty() { Exit::Done } else { Exit::Failed })
    })
}

fn pin(common: &Common, arguments: &PinArguments) -> ExitCode {
    runtime::on_files(common, "host pin", async |mut platform, events| {
        hosts::choose(&mut platform, std::slice::from_ref(&arguments.name))?;
        let [host] = platform.hosts.as_slice() else { return Ok(Summary::default()) };
        let note = |message: String| drop(events.send(Event::Note { message }));
        if host.transport == Transport::Local {
            return Err(Failed::usage(
                format!("{} is this machine: nothing is pinned for it", host.name),
                "nothing to do",
            ));
        }
        let path = setup::beside_overlay(common, &platform, "known_hosts");
        let mut pins = Pins::read(&path)?;
        let (key, fingerprint) = Pins::scan(&host.name, &host.address.to_string()).await?;
        let pinned = pins.fingerprint(&host.name);
        if pinned == Some(fingerprint) {
            note(format!("{fingerprint} is pinned for {} already", host.name));
        } else if arguments.fingerprint.as_deref() == Some(fingerprint.to_string().as_str()) {
            pins.pin(&host.name, key)?;
            let before = pinned.map(|pinned| format!(", in place of {pinned}")).unwrap_or_default();
            note(format!("pinned {fingerprint} for {} in {}{before}: commit it", host.name, path.display()));
        } else {
            let (name, address) = (&host.name, host.address);
            let other = arguments.fingerprint.as_ref().map(|given| format!(", not {given}")).unwrap_or_default();
            return Err(Failed::usage(
                format!("whoever answers at {address} shows the key {fingerprint}{other}"),
                format!(
                    "compare it on the machine's own console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then: \
                     bascule host pin {name} --fingerprint {fingerprint}"
                ),
            ));
        }
        Ok(Summary::default())
    })
}
