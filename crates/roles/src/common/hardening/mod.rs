//! What costs nothing and stops something: measured by lynis, in the lab.

use crate::group::{Group, command, file, script_path, sysctl};

/// Of the kernel's settings for the network, those of who is no router, which a host is for its instances. First, since the
/// one of forwarding resets others.
const NO_ROUTER: [(&str, &str); 2] = [
    ("net.ipv4.conf.all.forwarding", "0"),
    // An answer goes out where the question came in, or the question was forged.
    ("net.ipv4.conf.all.rp_filter", "1"),
];

/// Those that everybody has for itself.
const NETWORK: [(&str, &str); 5] = [
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_source_route", "0"),
    ("net.ipv4.conf.all.log_martians", "1"),
    ("net.ipv4.conf.default.log_martians", "1"),
];

const IPV6: &str = "/etc/sysctl.d/60-bascule-ipv6.conf";

/// For users with passwords, should somebody ever make one.
const LOGIN: [&str; 6] = [
    "UMASK=027",
    "PASS_MIN_DAYS=1",
    "PASS_MAX_DAYS=365",
    "SHA_CRYPT_MIN_ROUNDS=65536",
    "SHA_CRYPT_MAX_ROUNDS=65536",
    "YESCRYPT_COST_FACTOR=7",
];

/// What it is that is hardened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Instance,
    Host,
}

pub(super) fn steps(of: Of) -> Group {
    let mut group = Group::new("common/hardening");
    group.packages("install stricter checks of who logs in", &["libpam-passwdqc", "libpam-tmpdir"]);
    let no_router: &[_] = if of == Of::Instance { &NO_ROUTER } else { &[] };
    for (key, value) in no_router.iter().chain(&NETWORK) {
        group.step(key, format!("set {key} to {value}"), sysctl(key, value));
    }
    // A kernel without IPv6 has none of these, which is as good: then the settings of the file are passed over.
    group.step("ipv6", "write its settings for IPv6", file(IPV6, 0o644, include_str!("ipv6.conf")));
    let redirects = ["all", "default"].map(|which| format!("/proc/sys/net/ipv6/conf/{which}/accept_redirects"));
    let accepted = format!("! grep -qsx 1 {}", redirects.join(" "));
    group.step(
        "ipv6-load",
        "believe no router that says another is nearer",
        command(&["sysctl", "--quiet", "--ignore", "--load", IPV6], &["/bin/sh", "-c", &accepted], 10_000),
    );
    let files = [
        ("core-dumps", "/etc/systemd/coredump.conf.d/bascule.conf", include_str!("coredump.conf")),
        ("limits", "/etc/security/limits.d/bascule.conf", include_str!("limits.conf")),
        ("profile", "/etc/profile.d/bascule.sh", include_str!("profile.sh")),
        ("modules", "/etc/modprobe.d/bascule.conf", include_str!("modprobe.conf")),
        ("issue", "/etc/issue", include_str!("issue")),
        ("issue-net", "/etc/issue.net", include_str!("issue")),
    ];
    // A host may boot from what an instance has no use for.
    for (id, path, text) in files.into_iter().filter(|(id, ..)| of == Of::Instance || *id != "modules") {
        group.step(id, format!("write {path}"), file(path, 0o644, text));
    }
    group.scripts(&[("login-defs", include_str!("login-defs.sh"))]);
    let program = script_path("login-defs");
    let call = |mode| [&[program.as_str(), mode], LOGIN.as_slice()].concat();
    group.step("login", "be strict about passwords", command(&call("set"), &call("check"), 10_000));
    group
}
