use crate::lab::Lab;

#[test]
fn a_component_runs_hardened_with_its_secret_as_a_credential() {
    let (_guard, lab) = Lab::shop();
    let colour = lab.status()["api-blue-1"]["active"] == true;
    let api = if colour { "api-blue-1" } else { "api-green-1" };
    let exposure = lab.shell(api, "systemd-analyze security --no-pager api.service | tail -n 1");
    let score: f32 = exposure.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(score <= 1.5, "{exposure}");
    assert_eq!(lab.shell(api, "systemctl show api -p LimitNOFILE --value"), "1048576");
    assert_eq!(lab.shell(api, "stat -c '%U %a' /etc/api/credentials/operator_token"), "root 600");
    let user = lab.shell(api, "ps -o user= -p $(systemctl show api -p MainPID --value)");
    assert_ne!(user, "root");

    let token = lab.shell(api, "cat /etc/api/credentials/operator_token");
    assert_eq!(token.len(), 64);
    let environment = lab.shell(api, "cat /proc/$(systemctl show api -p MainPID --value)/environ");
    assert!(!environment.contains(&token), "the secret is in the environment");
    let plan = lab.ok(&["plan", "--lines", "--verbose"]);
    assert!(!plan.contains(&token) && plan.contains("operator_token"), "the plan has the value, or not the name");
}

#[test]
fn ssh_lets_in_the_operators_key_and_nothing_else() {
    let (_guard, lab) = Lab::shop();
    let config = lab.shell("lb-1", "sshd -T -C user=root,addr=10.99.32.1,host=x");
    for wanted in
        ["passwordauthentication no", "permitrootlogin without-password", "maxauthtries 3", "x11forwarding no"]
    {
        assert!(config.contains(wanted), "{wanted} is missing:\n{config}");
    }
    let keys = lab.shell("lb-1", "cat /etc/ssh/ssh_host_ed25519_key.pub");
    let others = lab.shell("web-blue-1", "cat /etc/ssh/ssh_host_ed25519_key.pub");
    assert_ne!(keys.split(' ').nth(1), others.split(' ').nth(1), "two instances share a host key");
}

/// Both come from Debian's archive; what they install goes with the instance.
#[test]
fn lynis_and_ssh_audit_have_little_to_say_against_an_instance() {
    let (_guard, lab) = Lab::shop();
    let tools = "apt-get -qq update && apt-get -qq install -y --no-install-recommends lynis ssh-audit";
    lab.shell("lb-1", &format!("{tools} >/tmp/tools.log 2>&1"));
    let audit = lab.shell("lb-1", "ssh-audit --no-colors 127.0.0.1 2>&1; echo \"ended with $?\"");
    let weak: Vec<&str> = audit.lines().filter(|line| line.contains("[fail]") || line.contains("[warn]")).collect();
    eprintln!("ssh-audit: {} failures and warnings", weak.len());
    assert!(audit.ends_with("ended with 0") && weak.is_empty(), "{audit}");

    let report = lab.shell("lb-1", "lynis audit system --quick --no-colors 2>&1");
    let index = report.lines().find_map(|line| line.trim().strip_prefix("Hardening index :")).unwrap_or_default();
    eprintln!("lynis: hardening index{index}");
    let index: u32 = index.split_whitespace().next().and_then(|index| index.parse().ok()).unwrap();
    assert!(index >= 80, "{report}");
}

#[test]
fn sshd_settings_that_would_lock_the_operator_out_never_get_into_place() {
    let (_guard, lab) = Lab::shop();
    lab.shell("web-blue-1", "echo 'DenyUsers root' > /etc/ssh/sshd_config.d/05-planted.conf; echo '# stale' >> /etc/ssh/sshd_config.d/10-bascule.conf");
    let before = lab.shell("web-blue-1", "cat /etc/ssh/sshd_config.d/10-bascule.conf");
    let output = lab.run(&["up", "--only", "web-blue-1"]);
    let text = crate::lab::said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("denied"), "{text}");
    assert_eq!(lab.shell("web-blue-1", "cat /etc/ssh/sshd_config.d/10-bascule.conf"), before);
    lab.shell("web-blue-1", "rm /etc/ssh/sshd_config.d/05-planted.conf");
    lab.ok(&["up"]);
}

#[test]
fn fail2ban_bans_the_fifth_failure_and_updates_are_security_only() {
    let (_guard, lab) = Lab::shop();
    for (setting, wanted) in [("bantime", "3600"), ("findtime", "600"), ("maxretry", "5")] {
        assert_eq!(lab.shell("lb-1", &format!("fail2ban-client get sshd {setting}")), wanted, "{setting}");
    }
    let settings = lab.shell("lb-1", "apt-config dump Unattended-Upgrade");
    assert!(settings.contains("label=Debian-Security"), "{settings}");
    assert!(!settings.contains("label=Debian\"") && !settings.contains("-updates"), "{settings}");
    assert!(settings.contains("Unattended-Upgrade::Automatic-Reboot \"false\""), "{settings}");
}

#[test]
fn statistics_and_metrics_are_for_the_machine_itself() {
    let (_guard, lab) = Lab::shop();
    let metrics = lab.shell("lb-1", "curl -s http://127.0.0.1:8404/metrics | grep -c ^haproxy_server_status");
    assert!(metrics.parse::<u32>().unwrap() > 4, "{metrics}");
    let outside = format!("http://{}:8404/metrics", lab.address("lb-1"));
    let refused = lab.shell("web-blue-1", &format!("curl -s -o /dev/null -m 2 {outside}; echo $?"));
    assert_eq!(refused, "28", "the statistics answer from outside, or the firewall tells that nobody is there");
    let authority = "--cacert /etc/bascule/authority.pem";
    let node = format!("curl -s {authority} https://{}:9100/metrics | grep -c ^node_", lab.address("web-blue-1"));
    let node = lab.shell("web-blue-1", &node);
    assert!(node.parse::<u32>().unwrap() > 100, "{node}");
}
