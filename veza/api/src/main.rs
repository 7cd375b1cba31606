//! Veza's API as a process: read the configuration, serve, and leave without dropping anybody.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use veza_api::{Config, Identity, server};

/// 0: drained to the last session. 1: it failed, or the drain ran out of time. 2: the configuration is wrong.
#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::read(environment) {
        Ok(config) => config,
        Err(wrong) => {
            log_to_stderr(EnvFilter::new("info"));
            wrong.0.iter().for_each(|problem| tracing::error!("configuration: {problem}"));
            return ExitCode::from(2);
        }
    };
    let Config { listen_address, certificate, commit, instance, log, operator_token, drain } = config;
    log_to_stderr(log);

    // Handlers are set before the port opens: a SIGTERM can never find the process serving and not listening for it.
    let (listener, stop) = match (TcpListener::bind(listen_address).await, stop_signals()) {
        (Ok(listener), Ok(stop)) => (listener, stop),
        (Err(error), _) => return failed(&format!("cannot listen on {listen_address}: {error}")),
        (_, Err(error)) => return failed(&format!("cannot handle signals: {error}")),
    };
    let address = listener.local_addr().unwrap_or(listen_address);
    tracing::info!(%address, %commit, instance, "serving");

    let identity = Identity::new(commit, instance, now());
    let left = server::run(listener, certificate, identity, operator_token, drain, first_of(stop)).await;
    if left.is_clean() {
        tracing::info!("drained, nothing was cut");
        ExitCode::SUCCESS
    } else {
        let (requests, websockets) = (left.requests_in_flight, left.websockets);
        tracing::warn!(requests, websockets, "the drain ran out of time and cut what was still open");
        ExitCode::FAILURE
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &'static str) -> Option<OsString> {
    std::env::var_os(name)
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the time of day")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn stop_signals() -> std::io::Result<[Signal; 2]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?])
}

async fn first_of([mut terminate, mut interrupt]: [Signal; 2]) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "asked to stop");
}

/// Lines for a person on a terminal; JSON, one object a line, for everything else.
fn log_to_stderr(filter: EnvFilter) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.with_target(false).init();
    } else {
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
}

fn failed(message: &str) -> ExitCode {
    tracing::error!("{message}");
    ExitCode::FAILURE
}
