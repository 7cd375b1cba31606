//! From arguments to the hosts: how each is reached, and what has to be known of it before planning.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bascule_engine::{AgentError, Hosts, Reach, Run, Transport as Way, shell};
use bascule_incus::{Client, DEFAULT_SOCKET};
use bascule_plan::Plan;
use bascule_plan::event::{Event, Failure};
use bascule_roles::{ClientCertificate, HostFacts, host_up};
use bascule_spec::{Endpoint, Host, Platform, Transport};
use bytes::Bytes;
use futures_util::future;

use crate::cli::Common;
use crate::commands::host::Which;
use crate::failure::{Exit, Failed};
use crate::files;
use crate::operators;
use crate::ops;
use crate::runtime;
use crate::secrets;
use crate::setup;

/// What a verb on hosts works with.
pub(crate) struct Session {
    pub(crate) platform: Platform,
    pub(crate) run: Run,
    hosts: Arc<Hosts>,
    /// Whom the daemon is to trust; nobody where operators come by its socket.
    certificates: Vec<ClientCertificate>,
}

/// As `setup::session`, for the machines below Incus.
pub(crate) fn session(
    common: &Common,
    which: &Which,
    verb: &str,
    applies: bool,
    body: impl AsyncFnOnce(&Session) -> Result<Exit, Failed>,
) -> ExitCode {
    runtime::in_runtime(common, async |events, _| {
        let mut platform = setup::platform(common)?;
        let _ = events.send(runtime::started(verb, Some(&platform)));
        choose(&mut platform, &which.names)?;
        let pins = setup::beside_overlay(common, &platform, "known_hosts");
        let ways =
            platform.hosts.iter().map(|host| (host.name.clone(), way(host, pins.clone(), which.identity.clone())));
        let hosts = Arc::new(Hosts::new(ways)?);
        let mut secrets = secrets::open(common, &platform.environment)?;
        let note = |message| drop(events.send(Event::Note { message }));
        let now_s = setup::unix_s();
        let certificate = operators::ensure(&platform, &mut secrets, applies, now_s, note)?;
        ops::ensure(&mut platform, common, &mut secrets, applies, now_s, note)?;
        let certificates = certificate.into_iter().chain(ops::client_certificate(&platform)?).collect();
        let secrets = secrets::required(secrets, &platform)?;
        // No plan for hosts asks Incus: it is what they make.
        let engine = setup::engine(&platform, Client::unix(DEFAULT_SOCKET)?, secrets, setup::this_program()?);
        let run = engine.run_reaching(hosts.clone(), &platform.incus.project, events);
        let session = Session { platform, run, hosts, certificates };
        let exit = setup::settle(&session.run, body(&session).await);
        setup::sum_up(&session.run, applies, exit);
        Ok(exit)
    })
}

fn way(host: &Host, pins: PathBuf, identity: Option<PathBuf>) -> Way {
    match host.transport {
        Transport::Local => Way::Local,
        Transport::Ssh => Way::Ssh { address: host.address.to_string(), pins, identity },
    }
}

/// Leaves the named hosts; all where none is named.
pub(crate) fn choose(platform: &mut Platform, names: &[String]) -> Result<(), Failed> {
    let known: Vec<&str> = platform.hosts.iter().map(|host| host.name.as_str()).collect();
    if known.is_empty() {
        let hint = "a table [hosts.NAME] with the `address` of a machine makes it one";
        return Err(Failed::usage("this environment has no hosts that could be set up", hint));
    }
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let message = format!("there is no host `{unknown}` with an address");
        return Err(Failed::usage(message, format!("there are: {}", known.join(", "))));
    }
    platform.hosts.retain(|host| names.is_empty() || names.contains(&host.name));
    Ok(())
}

impl Session {
    /// Asks every host what has to be known of it, all at once, and plans. One that cannot be asked is a failure of its own;
    /// the others go on without it.
    pub(crate) async fn plan(&self) -> Result<Plan, Failed> {
        let asked = self.platform.hosts.iter().map(|host| async move { (host, self.facts(host).await) });
        let mut facts = BTreeMap::new();
        let mut failures = Vec::new();
        for (host, answer) in future::join_all(asked).await {
            match answer {
                Ok(answer) => drop(facts.insert(host.name.clone(), answer)),
                Err(failed) => failures.push((host, failed)),
            }
        }
        match failures.pop() {
            // The verb's own failure, with its own exit code.
            Some((_, failed)) if facts.is_empty() && failures.is_empty() => return Err(failed),
            last => failures.extend(last),
        }
        for (host, failed) in failures {
            self.run.failure(Failure { instance: Some(host.name.clone()), ..failed.into_failure() });
        }
        Ok(host_up(&self.platform, &facts, &self.certificates)?)
    }

    async fn facts(&self, host: &Host) -> Result<HostFacts, Failed> {
        let said = self.shell(host, include_str!("host-facts.sh")).await?;
        let of: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once('=')).collect();
        let get = |key: &str| of.get(key).copied().unwrap_or_default();
        let debian = get("version").parse().ok().filter(|_| get("id") == "debian").ok_or_else(|| {
            let message = format!("the host {} runs `{} {}`", host.name, get("id"), get("version"));
            Failed::usage(message, "a machine with Debian 12 or 13 can be set up")
        })?;
        Ok(HostFacts {
            debian,
            container: get("container") == "yes",
            operator: get("operator").parse().ok(),
            mtu: get("mtu").parse().ok(),
            kernel: get("kernel").to_owned(),
            archive: get("archive").to_owned(),
        })
    }

    async fn shell(&self, host: &Host, script: &str) -> Result<String, Failed> {
        let reach: &dyn Reach = &*self.hosts;
        shell(reach, &host.name, script, &[], Bytes::new()).await.map_err(|error| match error {
            AgentError::Host(error) => error.into(),
            error => Failed::usage(format!("the host {} could not be asked: {error}", host.name), "is it a Debian?"),
        })
    }

    /// Brings the daemon's own certificate into the repository, from the host that listens, by the way that is pinned.
    pub(crate) async fn bring_certificate(&self) -> Result<(), Failed> {
        let Endpoint::Https(https) = &self.platform.incus.endpoint else { return Ok(()) };
        let Some(host) = self.platform.hosts.iter().find(|host| host.address == *https.address.ip()) else {
            return Ok(());
        };
        let certificate = self.shell(host, "cat /var/lib/incus/server.crt").await?;
        let path = &https.server_certificate;
        if std::fs::read_to_string(path).is_ok_and(|known| known == certificate) {
            return Ok(());
        }
        files::publish("the daemon's certificate", path, &certificate)?;
        self.run.note(format!("the daemon's certificate is in {}: commit it", path.display()));
        Ok(())
    }
}
