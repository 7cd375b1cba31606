//! A bare machine becomes a server, and a page is served from it: by SSH, then by HTTPS with a restricted certificate.
//!
//! The machine is played by an instance that may nest instances. What makes it one of its kind is only that its range of
//! user ids is smaller, and that its pool is a folder, since it has no disks.

mod host;
mod site;

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::lab::{A, program, said, with_input};
use crate::secrets::{found_by, markers_of};
use host::{ADDRESS, Host};
use site::Site;

#[test]
fn a_bare_machine_becomes_a_server_that_a_restricted_certificate_brings_a_platform_up_on() {
    let host = Host::bare();
    let site = Site::new();

    // Nothing is asked of a machine that nobody has compared the key of.
    let output = site.run(&["host", "up"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("bascule host pin h1"), "{}", said(&output));
    let output = site.run(&["host", "pin", "h1", "--fingerprint", "SHA256:of-another-key"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    site.ok(&["host", "pin", "h1", "--fingerprint", &host.fingerprint()]);

    // Killed in the middle of apt, run again, it converges; then it changes nothing.
    assert!(site.kill_at_step(&["host", "up"], "host/incus/packages"), "Incus was there already");
    site.ok(&["host", "up"]);
    for verb in ["up", "plan"] {
        let summary = site.summary(&["host", verb]);
        assert_eq!((&summary["changed"], &summary["failed"]), (&0.into(), &0.into()), "{verb}: {summary}");
    }
    assert!(site.path("env/h.incus.pem").exists(), "the daemon's certificate was not brought");
    assert!(site.path("env/h.client.pem").exists(), "the operators' certificate was not made");
    for unit in ["incus", "ssh", "fail2ban", "bascule-firewall"] {
        host.shell(&format!("systemctl is-active {unit}"));
    }

    // A firewall that somebody took away is seen, and put back.
    host.shell("nft delete table inet bascule");
    assert_ne!(site.summary(&["host", "plan"])["changed"], 0);
    site.ok(&["host", "up"]);
    host.shell("nft list table inet bascule | grep -q 'policy drop'");
    assert_eq!(site.summary(&["host", "plan"])["changed"], 0);

    // The platform, by HTTPS.
    host.seed_images();
    site.ok(&["up"]);
    site.ok(&["deploy", A]);
    assert_eq!(site.summary(&["up"])["changed"], 0);
    let page = host.shell("curl --silent --fail --max-time 5 http://10.99.0.10/");
    assert!(page.contains("<title>A page from afar"), "{page}");

    // Instances get names from their host, and no way into it.
    let inside = |line: &str| site.run(&["exec", "web-1", "--", "sh", "-c", line]).status.code();
    assert_eq!(inside("getent hosts lb-1.incus"), Some(0));
    for port in [22, 8443, 9100] {
        let knock = format!("timeout 3 bash -c '</dev/tcp/{ADDRESS}/{port}'");
        assert_ne!(inside(&knock), Some(0), "port {port} of the host is open to its instances");
    }

    // The ops instance may come to Incus, and renews by itself what is due.
    let certificates = ["/etc/nginx/tls.pem", "/etc/prometheus/node-exporter.pem"];
    let renew = ["exec", "ops-1", "--", "systemctl", "start", "bascule-renew.service"];
    assert_eq!(inside(&format!("rm {}", certificates.join(" "))), Some(0));
    site.ok(&renew);
    assert_eq!(inside(&format!("ls {}", certificates.join(" "))), Some(0), "{}", site.ok(&["logs", "ops-1"]));
    assert_eq!(site.summary(&["up"])["changed"], 0);
    // Nothing else: what somebody changed by hand is left for `up`.
    assert_eq!(inside("echo '# by hand' >>/etc/nginx/nginx.conf; rm /etc/nginx/tls.pem"), Some(0));
    site.ok(&renew);
    assert_eq!(inside("grep -q 'by hand' /etc/nginx/nginx.conf && test -s /etc/nginx/tls.pem"), Some(0));
    site.ok(&["up"]);
    // One that fails is seen by `status` until it was mended.
    site.ok(&["exec", "ops-1", "--", "rm", "/etc/bascule/ops/age.key"]);
    assert_ne!(site.run(&renew).status.code(), Some(0));
    let output = site.run(&["status"]);
    assert!(said(&output).contains("the last renewal failed"), "{}", said(&output));
    site.ok(&["up"]);
    site.ok(&renew);
    site.ok(&["status"]);

    // What is secret lies with the ops instance alone, and of that only what opens the rest; nothing of it on the host.
    let markers = markers_of(|verb| site.run(&[&["secrets"], verb].concat()), &site.path("age.key"));
    assert!(markers.len() >= 6, "{} markers", markers.len());
    for name in ["lb-1", "web-1", "ops-1"] {
        let found = found_by(&markers, |script| site.command(&["exec", name, "--", "sh", "-c", script]));
        let expected: &[&str] = if name == "ops-1" { &["/etc/bascule/ops/age.key"] } else { &[] };
        assert_eq!(found, expected, "on {name}");
    }
    assert_eq!(found_by(&markers, Host::command), <[&str; 0]>::default());
    for path in ["instances?recursion=2&all-projects=true", "projects?recursion=1", "certificates?recursion=1"] {
        let known = host.shell(&format!("incus query '/1.0/{path}'"));
        assert!(known.len() > 2 && !markers.iter().any(|marker| known.contains(marker)), "in Incus: {path}");
    }

    // Another machine has the clone and its age key, and no artifact.
    let elsewhere = site.cloned();
    elsewhere.ok(&["status"]);
    for verb in ["plan", "up"] {
        let summary = elsewhere.summary(&[verb]);
        assert_eq!((&summary["changed"], &summary["failed"]), (&0.into(), &0.into()), "{verb}: {summary}");
    }
    // What a replica has unpacked nobody needs to bring, though it was stopped meanwhile.
    host.shell("incus stop web-1 --project site");
    let output = elsewhere.run(&["status"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_ne!(elsewhere.summary(&["plan"])["changed"], 0);
    elsewhere.ok(&["up"]);
    elsewhere.ok(&["status"]);
    assert_eq!(elsewhere.summary(&["up"])["changed"], 0);
    let page = host.shell("curl --silent --fail --max-time 5 http://10.99.0.10/");
    assert!(page.contains("<title>A page from afar"), "{page}");

    // The host itself can be asked from within, without SSH, and finds the same.
    host.push(&program(), "/root/");
    host.push(&elsewhere.folder, "/root/");
    host.push(&elsewhere.home.as_ref().unwrap().path().join("age.key"), "/root/");
    let local = "cd /root/clone; echo 'transport = \"local\"' >>env/h.toml; chmod 600 /root/age.key
                 /root/bascule --env h --age-key /root/age.key host up --output json | tail -n 1";
    let summary: Value = serde_json::from_str(&host.shell(local)).unwrap();
    assert_eq!((&summary["changed"], &summary["failed"]), (&0.into(), &0.into()), "{summary}");

    // The operators' key can be drawn anew: the host trusts the new one in place of the old one.
    let trusted = || host.shell("incus query /1.0/certificates?recursion=1");
    let before = fs::read_to_string(site.path("env/h.client.pem")).unwrap();
    let draw = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1";
    let key = Command::new("openssl").args(draw.split(' ')).output().unwrap().stdout;
    let set = with_input(&mut site.command(&["secrets", "set", "bascule/incus/client.key"]), &key);
    assert!(set.status.success(), "{}", said(&set));
    fs::remove_file(site.path("env/h.client.pem")).unwrap();
    site.ok(&["host", "up"]);
    // The ops instance has a copy of the secrets.
    site.ok(&["up"]);
    assert_eq!(site.summary(&["up"])["changed"], 0);
    assert_ne!(fs::read_to_string(site.path("env/h.client.pem")).unwrap(), before);
    assert_eq!(trusted().matches("\"fingerprint\"").count(), 2, "{}", trusted());

    // Nor does the host trust an ops instance that is no more.
    let overlay = fs::read_to_string(site.path("env/h.toml")).unwrap();
    fs::write(site.path("env/h.toml"), overlay.replace("[ops]\naddresses = [\"10.99.0.20\"]\n", "")).unwrap();
    site.ok(&["host", "up"]);
    assert_eq!(trusted().matches("\"fingerprint\"").count(), 1, "{}", trusted());
    assert_eq!(site.summary(&["host", "plan"])["changed"], 0);

    // What the host's administrator made is not the certificate's to remove.
    let said_of_down = site.ok(&["down", "--yes-destroy", "h"]);
    assert!(said_of_down.contains("certificate may not remove them"), "{said_of_down}");
    assert_eq!(host.shell("incus list --project site --format csv"), "");

    // Another key is somebody else, whatever the address.
    host.shell("rm /etc/ssh/ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh");
    let output = site.run(&["host", "plan"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("shows another key than the one in"), "{}", said(&output));
}
