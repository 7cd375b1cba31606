//! The instance that works on its own, and what it may change.

use std::collections::BTreeSet;

use bascule_plan::{LineItem, Plan, Resource};
use bascule_spec::{Endpoint, FrontCertificate, Https, Ops, Platform, Role, Tls, Topology};

use super::files::text;
use super::platforms::{instance, platform, running};
use crate::{Existing, Facts, due, renewal, up};

fn elsewhere() -> Platform {
    let mut platform = platform(Topology::MultiInstance, 2, &[2, 0, 2]);
    platform.incus.endpoint = Endpoint::Https(Https {
        address: "192.0.2.10:8443".parse().unwrap(),
        server_certificate: "/env/lab.incus.pem".into(),
        client_certificate: "/env/lab.client.pem".into(),
        client_key: Https::CLIENT_KEY.into(),
    });
    let certificate = FrontCertificate::Own { names: vec!["shop.example".into()] };
    platform.load_balancer.tls = Some(Tls { port: 443, certificate });
    platform.components[0].tls = true;
    platform.instances.push(instance("ops-1".into(), Role::Ops));
    platform.ops = Some(Ops {
        secrets: "-----BEGIN AGE ENCRYPTED FILE-----\n".into(),
        client_certificate: "-----BEGIN CERTIFICATE-----\nof ops\n".into(),
        server_certificate: "-----BEGIN CERTIFICATE-----\nof Incus\n".into(),
    });
    platform
}

#[test]
fn it_has_the_platform_the_encrypted_secrets_and_keys_of_its_own() {
    let platform = elsewhere();
    let plan = up(&platform, &running(&platform)).unwrap();
    let outline = plan.narrow(&["ops-1".into()]).unwrap().outline();
    let own: String =
        outline.lines().filter(|line| !line.starts_with("  common/")).map(|line| format!("{line}\n")).collect();
    insta::assert_snapshot!(own);
    let copy: Platform = serde_json::from_str(&text(&plan, "ops-1", "/etc/bascule/ops/platform.json")).unwrap();
    assert_eq!((&copy.instances, &copy.components), (&platform.instances, &platform.components));
    let Endpoint::Https(https) = &copy.incus.endpoint else { panic!("{:?}", copy.incus) };
    assert_eq!(https.client_certificate.to_str(), Some("/etc/bascule/ops/client.pem"));
    assert_eq!(https.client_key, Ops::CLIENT_KEY);
}

#[test]
fn whoever_brings_it_brings_the_same_platform() {
    let ada = elsewhere();
    let mut bob = ada.clone();
    bob.release.artifacts = "/home/bob/artifacts".into();
    let copy = |platform: &Platform| {
        text(&up(platform, &running(platform)).unwrap(), "ops-1", "/etc/bascule/ops/platform.json")
    };
    assert_eq!(copy(&ada), copy(&bob));
}

fn renewed(facts: &Facts, due: &[&str]) -> (Plan, BTreeSet<String>) {
    let (plan, waiting) = renewal(&elsewhere(), facts, &names(due)).unwrap();
    assert_eq!(plan.check(), Ok(()));
    (plan, waiting)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_renewal_is_certificates_their_readers_and_what_those_must_pass_and_nothing_else() {
    let platform = elsewhere();
    let (plan, waiting) = renewed(&running(&platform), &["api-1", "lb-2", "web-2"]);
    assert!(waiting.is_empty());
    insta::assert_snapshot!(plan.outline());
}

#[test]
fn a_replica_whose_neighbour_gets_no_requests_waits_and_the_neighbour_does_not() {
    let platform = elsewhere();
    let facts = Facts { out_of_rotation: names(&["api-1"]), ..running(&platform) };
    let (plan, waiting) = renewed(&facts, &["api-1", "api-2", "web-1"]);
    assert_eq!(waiting, names(&["api-2"]));
    let changed: Vec<&str> = plan.lines.iter().map(|line| line.instance.as_str()).collect();
    assert_eq!(changed, ["lb-1", "lb-2", "api-1", "web-1"]);
}

#[test]
fn what_does_not_run_stays_as_it_is_and_what_runs_keeps_its_limits() {
    let platform = elsewhere();
    let mut facts = running(&platform);
    facts.instances.insert("lb-2".into(), Existing::Stopped);
    facts.instances.remove("web-2");
    let (plan, _) = renewed(&facts, &["api-1", "web-1"]);
    let changed: Vec<&str> = plan.lines.iter().map(|line| line.instance.as_str()).collect();
    assert_eq!(changed, ["lb-1", "api-1", "web-1"]);
    assert!(plan.world.is_none() && plan.lines.iter().all(|line| line.machine.is_none()));
}

#[test]
fn nothing_is_due_where_only_the_rotation_differs() {
    let differing = [("lb-1", "load_balancer/rotation/api-1"), ("web-1", "component/base/certificate")];
    assert_eq!(due(differing), names(&["web-1"]));
    let (plan, _) = renewed(&running(&elsewhere()), &[]);
    assert!(plan.lines.is_empty());
}

#[test]
fn what_is_asked_first_meets_nobody_and_changes_nothing() {
    let platform = elsewhere();
    let plan = crate::due_or_out_of_rotation(&platform, &running(&platform)).unwrap();
    assert_eq!(plan.check(), Ok(()));
    assert_eq!(plan.lines.len(), platform.instances.len());
    let items = plan.lines.iter().flat_map(|line| &line.items);
    for item in items {
        let LineItem::Step(step) = item else { panic!("{item:?}") };
        assert!(
            matches!(step.resource, Resource::Certificate(_) | Resource::Unit(_) | Resource::Wait(_)),
            "{}",
            step.id
        );
    }
}
