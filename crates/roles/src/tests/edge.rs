//! The edge cache, between load balancers and the store.

use bascule_plan::{LineItem, Plan, Resource};
use bascule_spec::{Access, Edge, ExternalStore, Platform, Role, StoreEngine, Topology};

use super::files::text;
use super::platforms::{fingerprint, instance, platform, running, store};
use crate::{Existing, Facts, purge, renewal, up};

/// A shop whose API signs URLs, with two load balancers.
fn shop() -> Platform {
    let mut platform = platform(Topology::MultiInstance, 2, &[2]);
    platform.load_balancer.address = Some("10.20.0.9".parse().unwrap());
    platform.components[0].secrets.insert("media_key".into());
    platform.store = Some(store(1, "tracks", [("edge".to_owned(), Access::Read)]));
    platform.edge = Some(Edge {
        bucket: "tracks".into(),
        routes: vec!["/media/".into(), "/api/v1/tracks/".into()],
        signing_key: "media_key".into(),
        cache_max_mib: 10 * 1024,
    });
    platform.instances.extend((1..=3).map(|n| instance(format!("store-{n}"), Role::Store)));
    platform.instances.extend((1..=2).map(|n| instance(format!("edge-{n}"), Role::Edge)));
    platform
}

fn facts(platform: &Platform) -> Facts {
    let mut facts = running(platform);
    facts.secrets.extend(platform.own_secrets().into_iter().map(|name| (name.clone(), fingerprint(&name))));
    facts
}

fn planned(platform: &Platform) -> Plan {
    let plan = up(platform, &facts(platform)).unwrap();
    assert_eq!(plan.check(), Ok(()));
    plan
}

/// Where something is in a line, counted from its begin.
fn place(plan: &Plan, instance: &str, is_it: impl Fn(&LineItem) -> bool) -> usize {
    let line = plan.lines.iter().find(|line| line.instance == instance).unwrap();
    line.items.iter().position(is_it).unwrap_or_else(|| panic!("{instance}"))
}

fn step<'a>(id: &'a str) -> impl Fn(&LineItem) -> bool + 'a {
    move |item| matches!(item, LineItem::Step(step) if step.id == id)
}

fn awaits<'a>(milestone: &'a str) -> impl Fn(&LineItem) -> bool + 'a {
    move |item| item.awaited().is_some_and(|awaited| awaited == milestone)
}

fn rules(plan: &Plan, instance: &str) -> Vec<String> {
    let text = text(plan, instance, "/etc/bascule/firewall.nft");
    text.lines().map(str::trim).filter(|line| line.contains("comment")).map(str::to_owned).collect()
}

#[test]
fn an_edge_lets_in_load_balancers_and_is_let_in_to_the_store() {
    let platform = shop();
    let plan = planned(&platform);
    let balancers = "ip saddr { 10.20.0.10, 10.20.0.11 } tcp dport 8443 accept comment \"the load balancers\"";
    assert_eq!(rules(&plan, "edge-1")[1..], [balancers]);
    let (first, second) = (&facts(&platform).addresses["edge-1"], &facts(&platform).addresses["edge-2"]);
    let store = format!("ip saddr {{ {first}, {second} }} tcp dport 9000 accept comment \"who uses the store\"");
    assert!(rules(&plan, "lb-1").contains(&store), "{:#?}", rules(&plan, "lb-1"));
}

#[test]
fn nginx_of_an_edge() {
    insta::assert_snapshot!(text(&planned(&shop()), "edge-1", "/etc/nginx/nginx.conf"));
}

#[test]
fn a_store_of_somebody_elses_is_asked_by_its_own_name() {
    let mut platform = shop();
    let external = ExternalStore {
        endpoint: "https://s3.example.com".into(),
        region: "eu-central-1".into(),
        key: "store_key".into(),
    };
    platform.store.as_mut().unwrap().engine = StoreEngine::External(external);
    platform.instances.retain(|instance| instance.role != Role::Store);
    let config = text(&planned(&platform), "edge-1", "/etc/nginx/nginx.conf");
    for line in [
        "server s3.example.com:443 max_fails=0;",
        "proxy_set_header Host s3.example.com;",
        "proxy_ssl_name s3.example.com;",
        "js_var $store_region \"eu-central-1\";",
        "proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;",
    ] {
        assert!(config.lines().any(|found| found.trim() == line), "{line}\n{config}");
    }
}

#[test]
fn load_balancers_send_its_paths_to_edges_before_shorter_ones_of_components() {
    let config = text(&planned(&shop()), "lb-1", "/etc/haproxy/haproxy.cfg");
    let place =
        |wanted: &str| config.lines().position(|line| line.trim() == wanted).unwrap_or_else(|| panic!("{wanted}"));
    let of_edge = place("use_backend edge if { path_beg /api/v1/tracks/ }");
    assert!(of_edge < place("use_backend api if { path_beg /api/ }"), "{config}");
    place("use_backend edge if { path_beg /media/ }");
    let backend = config.split("\nbackend edge\n").nth(1).unwrap().split("\n\n").next().unwrap();
    insta::assert_snapshot!(backend);
}

/// No URL is refused, and no object is refused to an edge, while a key is replaced.
#[test]
fn the_store_knows_a_key_before_edges_use_it_and_edges_one_before_anybody_signs_by_it() {
    let plan = planned(&shop());
    for edge in ["edge-1", "edge-2"] {
        let known = place(&plan, edge, awaits("store: accepts new keys"));
        assert!(known < place(&plan, edge, step("edge/keys/store")));
        let accepts = place(&plan, edge, |item| *item == LineItem::Reach(format!("{edge}: accepts the signing key")));
        assert!(place(&plan, edge, step("edge/keys/signing-used")) < accepts);
        assert!(accepts < known, "who signs would wait for the store");
        let used = place(&plan, "store-1", awaits(&format!("{edge}: healthy")));
        assert!(used < place(&plan, "store-1", step("store/users/only")), "the old key would be gone too early");
        for replica in ["api-1", "api-2"] {
            let accepted = place(&plan, replica, awaits(&format!("{edge}: accepts the signing key")));
            assert!(accepted < place(&plan, replica, step("component/service/credential-media_key")));
        }
    }
}

/// Load balancers walk edges in the order in which those have their turn, or both would wait for ever.
#[test]
fn whichever_edge_is_down_its_turn_is_first_and_the_plan_can_be_walked_to_its_end() {
    let platform = shop();
    for states in [[Existing::Running, Existing::Stopped], [Existing::Stopped, Existing::Running]] {
        let mut facts = facts(&platform);
        facts.instances.extend(["edge-1", "edge-2"].map(str::to_owned).into_iter().zip(states));
        let plan = up(&platform, &facts).unwrap();
        assert_eq!(plan.check(), Ok(()));
        let down = if states[0] == Existing::Stopped { "edge-1" } else { "edge-2" };
        assert_eq!(plan.leases["roll edge"].order[0], down);
    }
    let out_of_rotation = Facts { out_of_rotation: ["edge-2".to_owned()].into(), ..facts(&platform) };
    assert_eq!(up(&platform, &out_of_rotation).unwrap().check(), Ok(()));
}

#[test]
fn one_edge_after_the_other_is_taken_out_of_service_and_is_back_before_the_next() {
    let plan = planned(&shop());
    assert_eq!(
        (plan.leases["roll edge"].capacity, &plan.leases["roll edge"].order[..]),
        (1, &["edge-1".to_owned(), "edge-2".to_owned()][..])
    );
    let taken = place(&plan, "edge-1", |item| matches!(item, LineItem::Take(lease) if lease == "roll edge"));
    let given_back = place(&plan, "edge-1", |item| matches!(item, LineItem::Release(lease) if lease == "roll edge"));
    let between = |place: usize| taken < place && place < given_back;
    assert!(between(place(&plan, "edge-1", step("edge/server/service"))));
    for balancer in ["lb-1", "lb-2"] {
        assert!(between(place(&plan, "edge-1", awaits(&format!("edge-1: in rotation on {balancer}")))));
    }
}

#[test]
fn certificates_and_configuration_are_loaded_by_a_reload_and_what_is_kept_has_a_volume() {
    let plan = planned(&shop());
    let line = plan.lines.iter().find(|line| line.instance == "edge-1").unwrap();
    let unit = line.steps().find(|step| step.id == "edge/server/service").unwrap();
    let Resource::Unit(unit) = &unit.resource else { panic!("{unit:?}") };
    for path in ["/etc/nginx/tls.pem", "/etc/nginx/nginx.conf"] {
        assert!(unit.reload_inputs.iter().any(|input| input == path) && !unit.inputs.iter().any(|input| input == path));
    }
    let volume = &line.machine.as_ref().unwrap().volumes[0];
    assert_eq!((&*volume.name, &*volume.path, &*volume.size), ("edge-1-cache", "/var/cache/edge", "12288MiB"));
}

#[test]
fn a_certificate_of_an_edge_is_renewed_alone() {
    let platform = shop();
    let (plan, _) = renewal(&platform, &facts(&platform), &["edge-1".to_owned()].into()).unwrap();
    let steps: Vec<&str> = plan.lines.iter().flat_map(|line| line.steps()).map(|step| step.id.as_str()).collect();
    assert!(steps.contains(&"edge/server/certificate") && steps.contains(&"edge/server/service"), "{steps:?}");
    assert!(!steps.contains(&"edge/server/config") && !steps.contains(&"edge/keys/store"), "{steps:?}");
}

#[test]
fn what_is_purged_is_named_by_its_path_at_the_front_door() {
    let platform = shop();
    let path = |prefix| purge(&platform, prefix).map(|argv| argv[1].clone());
    assert_eq!(path("/media/42/").as_deref(), Some("/tracks/42/"));
    assert_eq!(path("/api/v1/tracks/42/").as_deref(), Some("/tracks/42/"));
    assert_eq!(path("/media"), None, "more than a route");
}
