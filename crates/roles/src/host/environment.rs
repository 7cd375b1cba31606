//! What an environment needs of a server that its operators reach by HTTPS: a project with limits, its bridge, and a
//! certificate that is trusted with that project only. None of it can be changed by that certificate.

use bascule_plan::{LineItem, Probe};
use bascule_spec::{Https, Platform};

use super::{ClientCertificate, HostFacts, in_turn, listens};
use crate::group::{Group, command, directory, file, script_path, wait};

/// Where certificates are kept that Incus is told to trust.
const FOLDER: &str = "/etc/bascule/trusted";

pub(super) fn steps(
    platform: &Platform,
    facts: &HostFacts,
    https: &Https,
    certificates: &[ClientCertificate],
) -> Vec<LineItem> {
    in_turn([objects(platform, facts), trust(platform, certificates), listener(https)])
}

fn objects(platform: &Platform, facts: &HostFacts) -> Group {
    let mut group = Group::new("host/environment");
    group.scripts(&[("incus-object", include_str!("incus-object.sh"))]);
    let mut step = |id, title: &str, kind: &str, name: &str, settings: Vec<String>| {
        group.step(id, title, object(kind, name, &settings));
    };
    let (project, bridge) = (platform.incus.project.as_str(), platform.network.bridge.as_str());
    step("bridge", "make the environment's bridge", "network", bridge, bridge_settings(platform, facts));
    step("project", "make the environment's project, with limits", "project", project, project_settings(bridge));
    group
}

/// The defaults of a restricted project are the strictest; only what the platform needs is said beside them. Its images
/// are its own: a certificate must not be able to change what other environments are made from.
fn project_settings(bridge: &str) -> Vec<String> {
    [
        "features.images=true",
        "features.networks=false",
        "features.profiles=true",
        "features.storage.volumes=true",
        "restricted=true",
        &format!("restricted.networks.access={bridge}"),
        "user.bascule.managed=true",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn bridge_settings(platform: &Platform, facts: &HostFacts) -> Vec<String> {
    let network = &platform.network;
    let (first, last) = network.dynamic().into_inner();
    let mut settings = vec![
        format!("ipv4.address={}/{}", network.gateway, network.subnet.prefix_len()),
        format!("ipv4.dhcp.ranges={first}-{last}"),
        "ipv4.nat=true".to_owned(),
        "ipv6.address=none".to_owned(),
        "dns.domain=incus".to_owned(),
        format!("user.bascule.project={}", platform.incus.project),
    ];
    // A bridge with a larger MTU than the uplink loses packets silently.
    settings.extend(facts.mtu.map(|mtu| format!("bridge.mtu={mtu}")));
    settings
}

fn trust(platform: &Platform, certificates: &[ClientCertificate]) -> Group {
    let mut group = Group::new("host/trust");
    let project = platform.incus.project.as_str();
    let program = script_path("incus-trust");
    group.scripts(&[("incus-trust", include_str!("incus-trust.sh"))]);
    group.step("folder", "make a folder for certificates", directory(FOLDER, 0o755));
    for ClientCertificate { whose, pem, fingerprint } in certificates {
        // Incus lists it under this name.
        let name = format!("bascule-{project}-{whose}");
        let path = format!("{FOLDER}/{project}-{whose}.pem");
        let title = format!("bring the certificate of {whose}");
        group.step(format!("certificate-{whose}"), title, file(&path, 0o644, pem));
        group.step(
            format!("trust-{whose}"),
            format!("trust the certificate of {whose} with the project, and with nothing else"),
            command(
                &[&program, "make", &name, project, fingerprint, &path],
                &[&program, "check", &name, project, fingerprint],
                30_000,
            ),
        );
    }
    // One that is not planned any more is not trusted any more.
    if platform.ops_instance().is_none() {
        let name = format!("bascule-{project}-ops");
        let title = "trust no certificate of an ops instance";
        group.step("distrust-ops", title, command(&[&program, "remove", &name], &[&program, "check", &name], 30_000));
    }
    group
}

/// Last, when the firewall is up and it is settled who is trusted.
fn listener(https: &Https) -> Group {
    let mut group = Group::new("host/listener");
    let address = listens(https);
    let setting = format!("core.https_address={address}");
    group.step("listen", "let Incus listen for operators", object("server", "-", &[setting]));
    let listening = Probe::Tcp { address };
    group.step("listening", "wait until Incus listens", wait(listening, Some("incus.service"), 15_000));
    group
}

fn object(kind: &str, name: &str, settings: &[String]) -> bascule_plan::Resource {
    let program = script_path("incus-object");
    let words = |verb| {
        let head = [program.as_str(), verb, kind, name];
        head.into_iter().chain(settings.iter().map(String::as_str)).collect::<Vec<_>>()
    };
    command(&words("make"), &words("check"), 60_000)
}
