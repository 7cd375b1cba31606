//! The agent on a modelled machine: the real one, step by step, so that the rest of the world goes on between two steps.

use std::sync::Arc;
use std::time::Duration;

use bascule_agent::System as _;
use bascule_agent::fake::Run;
use bascule_incus::fake::FakeExit;
use bascule_plan::agent::{Mode, Outcome, Report, Request};
use bascule_plan::{Resource, Step};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::chaos::Peril;
use crate::machines::{Busy, Host, Machines};

/// As long as the agent itself waits for another one.
const LOCK_TIMEOUT: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(500);
/// By a shell's convention: ended by SIGKILL.
const KILLED: i32 = 137;

/// Serves one request, and sends every report as it comes.
pub(crate) async fn serve(
    machines: &Arc<Machines>,
    instance: &str,
    stdin: &[u8],
    stdout: &mpsc::Sender<Bytes>,
) -> FakeExit {
    let Ok(mut request) = serde_json::from_slice::<Request>(stdin) else {
        return FakeExit::failed(2, "not a request");
    };
    let Some(host) = machines.host(instance) else { return FakeExit::failed(KILLED, "") };
    host.machine.advance_to_ms(machines.time.now_ms());
    if request.mode == Mode::Check {
        return FakeExit::ok(lines(&host.machine.agent(&request).reports));
    }
    let _applying = machines.applying();
    let turn = machines.turn(instance);
    host.machine.announce(request.generation);
    let Some(_busy) = lock(machines, instance).await else {
        // It has waited already, and says so.
        host.machine.busy_for_ms(u64::try_from(LOCK_TIMEOUT.as_millis()).unwrap_or(u64::MAX));
        return FakeExit::ok(lines(&host.machine.agent(&request).reports));
    };
    let steps = std::mem::take(&mut request.steps);
    for step in &steps {
        if machines.turn(instance) != turn {
            return FakeExit::failed(KILLED, "");
        }
        let Some(run) = apply(machines, instance, &host, step, &request) else {
            return FakeExit::failed(KILLED, "");
        };
        let said: Vec<Report> = run.reports.into_iter().filter(|report| *report != Report::Done).collect();
        let failed = said.iter().any(|report| matches!(report, Report::End { outcome: Outcome::Failed, .. }));
        // What it waited for on its own clock has to pass for the others, too, before it can tell them.
        let ahead_ms = host.machine.now_ms().saturating_sub(machines.time.now_ms());
        tokio::time::sleep(Duration::from_millis(ahead_ms)).await;
        if stdout.send(lines(&said).into()).await.is_err() {
            // Nobody reads the reports any more: the engine is gone.
            return FakeExit::failed(1, "");
        }
        tokio::time::sleep(Duration::from_millis(machines.chaos.step_ms())).await;
        if failed {
            break;
        }
    }
    FakeExit::ok(lines(&[Report::Done]))
}

/// Applies one step in one moment; `None` when the agent did not survive it.
fn apply(machines: &Machines, instance: &str, host: &Host, step: &Step, rest: &Request) -> Option<Run> {
    host.machine.advance_to_ms(machines.time.now_ms());
    if let Resource::Packages(packages) = &step.resource {
        machines.installed(instance, packages);
    }
    let peril = machines.chaos.of_step();
    if let Some(Peril::Killed(change) | Peril::PowerLoss(change)) = peril {
        host.machine.kill_after(change);
    }
    let request = Request { steps: vec![step.clone()], ..rest.clone() };
    let run = host.machine.agent(&request);
    if let (true, Some(Peril::PowerLoss(_))) = (run.killed, peril) {
        machines.lose_power(instance, machines.chaos.power_loss_seed());
    }
    machines.look();
    (!run.killed).then_some(run)
}

async fn lock(machines: &Arc<Machines>, instance: &str) -> Option<Busy> {
    let taken = async {
        loop {
            match machines.try_lock(instance) {
                Some(busy) => return busy,
                None => tokio::time::sleep(LOCK_POLL).await,
            }
        }
    };
    tokio::time::timeout(LOCK_TIMEOUT, taken).await.ok()
}

fn lines(reports: &[Report]) -> Vec<u8> {
    let lines = reports.iter().filter_map(|report| serde_json::to_vec(report).ok());
    lines.flat_map(|line| [line, b"\n".to_vec()].concat()).collect()
}
