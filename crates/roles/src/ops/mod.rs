//! The instance that works on its own: the same program as everywhere, started by timers, with the platform as it was
//! last brought up, the encrypted secrets, and an age key and a client certificate of its own.

use bascule_plan::agent::PROGRAM;
use bascule_plan::{LineItem, Resource};
use bascule_spec::{Endpoint, Https, Ops, Platform};
use minijinja::context;

use crate::group::{Group, command, directory, file, running, secret_file};
use crate::template::render;
use crate::{Facts, RoleError};

const FOLDER: &str = "/etc/bascule/ops";
const AGE_KEY: &str = "/etc/bascule/ops/age.key";
const CLIENT_CERTIFICATE: &str = "/etc/bascule/ops/client.pem";
const SERVER_CERTIFICATE: &str = "/etc/bascule/ops/incus.pem";
const SERVICE: &str = "/etc/systemd/system/bascule-renew.service";
const TIMER: &str = "/etc/systemd/system/bascule-renew.timer";
const DRILL_SERVICE: &str = "/etc/systemd/system/bascule-drill.service";
const DRILL_TIMER: &str = "/etc/systemd/system/bascule-drill.timer";
/// Where it would look for artifacts, which it never needs.
const ARTIFACTS: &str = "/var/lib/bascule/artifacts";
/// Read by `status`: whether the last run of a timer went well.
pub(crate) const LAST_RUN: &str = "ops/renewal/last";

pub(crate) fn steps(platform: &Platform, facts: &Facts) -> Result<Vec<LineItem>, RoleError> {
    let ops = platform.ops.as_ref().ok_or(RoleError::NoOps)?;
    let environment = &platform.environment;
    let platform_file = format!("{FOLDER}/platform.json");
    let mut access = Group::new("ops/access");
    access.step("folder", "make a folder for what it may know", directory(FOLDER, 0o700));
    access.step("env", "make a folder for the environment's files", directory(format!("{FOLDER}/env"), 0o700));
    access.step("platform", "bring the platform as it is now", file(&platform_file, 0o600, copy(platform)?));
    let secrets = file(format!("{FOLDER}/env/{environment}.secrets.age"), 0o600, &ops.secrets);
    access.step("secrets", "bring the encrypted secrets", secrets);
    access.step("key", "bring the age key that opens them", secret_file(AGE_KEY, facts.secret(Ops::AGE_KEY)?));
    access.step("client", "bring its client certificate", file(CLIENT_CERTIFICATE, 0o600, &ops.client_certificate));
    access.step("server", "bring Incus's certificate", file(SERVER_CERTIFICATE, 0o600, &ops.server_certificate));

    let mut renewal = Group::new("ops/renewal");
    let context = context! { program => PROGRAM, platform_file, age_key => AGE_KEY, environment };
    let service = render("bascule-renew.service.j2", include_str!("bascule-renew.service.j2"), context.clone())?;
    renewal.step("service", "say how certificates are renewed", file(SERVICE, 0o644, service));
    renewal.step("when", "say when", file(TIMER, 0o644, include_str!("bascule-renew.timer")));
    renewal.step("timer", "renew certificates every day", running("bascule-renew.timer", &[TIMER, SERVICE], &[]));
    renewal.step("last", "clear the mark of a renewal that failed", last_run());
    let mut groups = vec![access, renewal];
    if platform.backup().is_some() {
        let mut drill = Group::new("ops/drill");
        let service = render("bascule-drill.service.j2", include_str!("bascule-drill.service.j2"), context)?;
        drill.step("service", "say how a backup is tried", file(DRILL_SERVICE, 0o644, service));
        drill.step("when", "say when", file(DRILL_TIMER, 0o644, include_str!("bascule-drill.timer")));
        drill.step("timer", "try it every week", running("bascule-drill.timer", &[DRILL_TIMER, DRILL_SERVICE], &[]));
        groups.push(drill);
    }
    Ok(groups.into_iter().flat_map(Group::into_items).collect())
}

/// A renewal that failed leaves a mark, which `status` sees, until somebody ran `up`.
fn last_run() -> Resource {
    const UNIT: &str = "bascule-renew.service";
    command(
        &["systemctl", "reset-failed", UNIT],
        &[
            "sh",
            "-c",
            &format!(
                "! systemctl is-failed --quiet {UNIT} || {{ echo 'the last renewal failed: journalctl -u {UNIT}'; exit 1; }}"
            ),
        ],
        10_000,
    )
}

/// The platform as it is on this instance: reached by its own files, and the same whoever brings it.
fn copy(platform: &Platform) -> Result<String, RoleError> {
    let mut copy = platform.clone();
    copy.ops = None;
    copy.release.artifacts = ARTIFACTS.into();
    if let Endpoint::Https(https) = &mut copy.incus.endpoint {
        *https = Https {
            address: https.address,
            server_certificate: SERVER_CERTIFICATE.into(),
            client_certificate: CLIENT_CERTIFICATE.into(),
            client_key: Ops::CLIENT_KEY.to_owned(),
        };
    }
    let text = serde_json::to_string_pretty(&copy).map_err(RoleError::Copy)?;
    Ok(text + "\n")
}
