//! A modelled machine, for tests of whatever sends steps to an agent.
//!
//! [`Machine`] runs the real step logic over a file system, a systemd, packages, users and a clock that live in memory.
//!
//! - **Deterministic.** Nothing is random but what a seed decides; the clock moves only when somebody sleeps.
//! - **Killable.** After [`Machine::kill_after`]`(n)` the agent dies before the n-th next change it makes to the machine,
//!   as by SIGKILL: no cleanup runs, no report follows. Long changes (writing a file, installing packages) have a point
//!   in their middle too. What the agent did stays.
//! - **Loses power.** [`Machine::power_loss`] forgets what was not synced: a file's content becomes empty, and of each
//!   directory's unsynced creations, renames and removals only the first few, as the seed decides, survive. Then it boots:
//!   enabled units start with what is on the disk.
//! - **systemd.** A unit exists when its file does (`/etc/systemd/system`, `/usr/lib/systemd/system`, templates included). It
//!   starts and stays up unless a test says otherwise ([`Machine::unit_fails`], [`Machine::unit_crash_loops`]). What it read
//!   at its start is remembered: [`Machine::runs_current`] tells whether it runs with what is on the disk now.
//! - **Packages** do what a test's table says ([`Machine::provide`]); any other name installs nothing but itself,
//!   unless it is withheld ([`Machine::withhold`]).
//! - **Commands** exit 0 unless a test gave one a body ([`Machine::on_command`]); probes succeed unless a test gave them
//!   one ([`Machine::on_http`], [`Machine::on_tcp`]).
//!
//! Not modelled: permissions being enforced, hard links, mounts, time that passes while something runs.

mod disk;
mod machine;
mod power;
mod services;
mod system;
mod world;

pub use machine::{Machine, Run};
pub use world::Package;
