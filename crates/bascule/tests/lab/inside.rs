//! TLS between the parts: who answers has to prove who it is, and a renewal takes nobody out of service.

use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::load::{Load, Plan};

const CERTIFICATE: &str = "/etc/nginx/tls.pem";
const FRONT_CERTIFICATE: &str = "/etc/haproxy/front-own.pem";

fn pages(lab: &Lab) -> Load {
    Load::start(Plan { base: lab.front_door(), paths: vec!["/", "/version.json"], requests_per_s: 200, websockets: 0 })
}

#[test]
fn certificates_are_renewed_under_load_without_a_failed_request_and_status_says_until_when() {
    let (_guard, lab) = Lab::rolling();
    let before = lab.shell("web-1", &format!("cat {CERTIFICATE}"));
    assert!(before.contains("BEGIN CERTIFICATE") && before.contains("BEGIN PRIVATE KEY"));
    assert_eq!(lab.shell("web-1", &format!("stat -c '%U:%G %a' {CERTIFICATE}")), "root:root 600");
    let days = lab.status()["web-1"]["certificates_days_left"].as_i64().unwrap();
    assert!((88..=90).contains(&days), "{days} days");

    let load = pages(&lab);
    for name in ["web-1", "web-2"] {
        lab.shell(name, &format!("rm {CERTIFICATE}"));
    }
    lab.ok(&["up"]);
    let seen = load.stop();
    crate::releases::assert_nothing_failed(&seen);
    let served =
        lab.shell("web-1", "echo | openssl s_client -connect 127.0.0.1:80 2>/dev/null | openssl x509 -noout -serial");
    let on_disk = lab.shell("web-1", &format!("openssl x509 -noout -serial -in {CERTIFICATE}"));
    assert!(served.starts_with("serial=") && served == on_disk, "nginx serves {served}, the file has {on_disk}");
    assert_ne!(lab.shell("web-1", &format!("cat {CERTIFICATE}")), before);
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}

#[test]
fn the_front_doors_own_certificate_is_for_its_names_and_is_renewed_under_load_without_a_failed_request() {
    let (_guard, lab) = Lab::rolling();
    let door = lab.front_door_event();
    let days = door["certificate_days_left"].as_i64().unwrap();
    assert!((88..=90).contains(&days), "{door}");
    let serial = || {
        let served = "echo | openssl s_client -connect 127.0.0.1:443 2>/dev/null | openssl x509 -noout";
        lab.shell("lb-1", &format!("{served} -serial -checkhost rolling.test -checkip {}", lab.address("lb-1")))
    };
    let before = serial();
    assert_eq!(before.matches(" does match certificate").count(), 2, "{before}");
    let load = pages(&lab);
    lab.shell("lb-1", &format!("rm {FRONT_CERTIFICATE}"));
    lab.ok(&["up"]);
    crate::releases::assert_nothing_failed(&load.stop());
    let after = serial();
    assert_eq!(after.matches(" does match certificate").count(), 2, "{after}");
    assert_ne!(after, before);
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}

#[test]
fn a_replica_that_cannot_prove_who_it_is_gets_no_requests_until_up_mends_it() {
    let (_guard, lab) = Lab::rolling();
    // A good certificate of the same authority, and another replica's.
    let foreign = lab.shell("web-2", &format!("cat {CERTIFICATE}"));
    let planted = lab.with_input(
        &["exec", "web-1", "--", "sh", "-c", &format!("cat > {CERTIFICATE} && systemctl reload nginx")],
        format!("{foreign}\n").as_bytes(),
    );
    assert!(planted.status.success(), "{}", crate::lab::said(&planted));
    let state =
        || lab.shell("lb-1", "echo 'show stat' | socat - /run/haproxy/admin.sock | grep '^web,web-1,' | cut -d, -f18");
    let began = Instant::now();
    while state() != "DOWN" && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(state(), "DOWN", "HAProxy believes it");
    let load = pages(&lab);
    lab.ok(&["up"]);
    crate::releases::assert_nothing_failed(&load.stop());
    assert!(state().starts_with("UP"), "{}", state());
}

#[test]
fn a_replica_speaks_nothing_but_tls_1_3() {
    let (_guard, lab) = Lab::rolling();
    let address = lab.address("web-1");
    let ask = |more: &str| {
        let host = format!("--resolve web-1.incus:80:{address} --cacert /etc/bascule/authority.pem");
        lab.shell("lb-1", &format!("curl -s -o /dev/null -w '%{{http_code}}' -m 3 {host} {more}"))
    };
    assert_eq!(ask("https://web-1.incus:80/__nginx_alive"), "200");
    assert_eq!(ask("--tls-max 1.2 https://web-1.incus:80/__nginx_alive"), "000");
    assert_eq!(ask("http://web-1.incus:80/__nginx_alive"), "400");
}
