use crate::faults::reqwest_get;
use crate::lab::{Lab, events, said};

#[test]
fn a_second_up_changes_nothing_and_plan_agrees() {
    let (_guard, lab) = Lab::shop();
    for verb in ["up", "plan"] {
        let summary = lab.summary(&[verb]);
        assert_eq!((&summary["changed"], &summary["failed"]), (&0.into(), &0.into()), "{verb}: {summary}");
        assert!(summary["unchanged"].as_u64().unwrap() > 200, "{summary}");
    }
}

#[test]
fn the_page_and_the_api_are_served_through_the_load_balancer() {
    let (_guard, lab) = Lab::shop();
    assert!(reqwest_get(&lab.front_door()).contains("<title>Veza"), "no page");
    let active = lab.active();
    for path in ["/api/v1/status", "/version.json"] {
        assert!(reqwest_get(&format!("{}{path}", lab.front_door())).contains(&active), "{path}");
    }
}

#[test]
fn what_was_changed_by_hand_is_planned_and_put_back() {
    let (_guard, lab) = Lab::shop();
    lab.shell("lb-1", "echo '# by hand' >> /etc/haproxy/haproxy.cfg; systemctl stop fail2ban");
    let plan = lab.ok(&["plan"]);
    assert!(plan.contains("configure HAProxy") && plan.contains("run fail2ban"), "{plan}");
    let up = lab.ok(&["up", "--only", "fail2ban"]);
    assert!(up.contains("run fail2ban") && !up.contains("configure HAProxy"), "{up}");
    lab.ok(&["up"]);
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}

#[test]
fn exec_passes_input_output_and_exit_code_and_logs_reads_the_journal() {
    let (_guard, lab) = Lab::shop();
    let output = lab.with_input(&["exec", "lb-1", "--", "sh", "-c", "cat; echo problem >&2; exit 7"], b"from here\n");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "from here\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("problem"));
    let logs = lab.ok(&["logs", "lb-1", "--unit", "haproxy", "--lines", "200"]);
    assert!(logs.lines().count() > 5 && logs.contains("haproxy["), "{} lines", logs.lines().count());
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
    assert_eq!(
        lab.with_input(&["exec", "lb-1", "--", "cat"], &bytes).stdout,
        bytes,
        "bytes do not come back as they went"
    );
    let unknown = lab.run(&["exec", "lb-9", "--", "true"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(unknown.stdout.is_empty(), "an error of the tool is among the command's output");
    assert!(said(&unknown).contains("lb-1"), "{}", said(&unknown));
}

#[test]
fn the_doctor_finds_nothing_missing_where_a_platform_is_up() {
    let (_guard, lab) = Lab::shop();
    let output = lab.run(&["doctor", "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let findings: Vec<_> = events(&output).into_iter().filter(|event| event["type"] == "finding").collect();
    assert!(findings.len() >= 9, "{findings:#?}");
    for finding in findings {
        assert_eq!(finding["verdict"], "ok", "{finding:#?}");
    }
}

#[test]
fn down_wants_the_name_of_the_environment() {
    let (_guard, lab) = Lab::shop();
    for wrong in [vec!["down"], vec!["down", "--yes-destroy", "lab"], vec!["down", "--yes-destroy", "prod"]] {
        let output = lab.run(&wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", said(&output));
        assert!(said(&output).contains("lb-1"), "it does not say what would be lost: {}", said(&output));
    }
    assert_eq!(lab.status()["lb-1"]["state"], "running");
}

#[test]
fn an_unknown_selector_is_refused_with_the_ones_there_are() {
    let (_guard, lab) = Lab::shop();
    let output = lab.run(&["up", "--only", "lb1", "--output", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let failure = events(&output).into_iter().find(|event| event["type"] == "failure").unwrap().to_string();
    assert!(failure.contains("lb-1"), "{failure}");
}
