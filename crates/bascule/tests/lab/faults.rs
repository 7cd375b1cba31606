use crate::lab::{Lab, incus};
use crate::load::Load;
use crate::releases::{assert_unharmed, traffic};

#[test]
fn a_replica_stopped_by_force_under_load_costs_no_get_and_up_brings_it_back() {
    let (_guard, lab) = Lab::shop();
    let colour = lab.status().into_values().find(|status| status["active"] == true && status["colour"].is_string());
    let colour = colour.unwrap()["colour"].as_str().unwrap().to_owned();
    for component in ["api", "web"] {
        let victim = format!("{component}-{colour}-1");
        let load = Load::start(crate::load::Plan { websockets: 0, ..traffic(&lab) });
        std::thread::sleep(std::time::Duration::from_secs(2));
        incus(&["stop", "--force", "--project", &lab.project(), &victim]);
        std::thread::sleep(std::time::Duration::from_secs(4));
        let status = lab.status();
        assert_eq!(status[&victim]["healthy"], false, "{}", status[&victim]);
        lab.ok(&["up"]);
        let seen = load.stop();
        println!(
            "{victim}: {} answered, {} failed, {} broke off",
            seen.answered,
            seen.failed.len(),
            seen.broke_off.len()
        );
        assert!(seen.failed.is_empty(), "{:?}", &seen.failed[..seen.failed.len().min(5)]);
        assert!(seen.answered > 1000);
        assert_eq!(lab.status()[&victim]["healthy"], true);
    }
}

#[test]
fn a_replica_that_hangs_is_restarted_by_up() {
    let (_guard, lab) = Lab::shop();
    let colour = if lab.status()["api-blue-1"]["active"] == true { "blue" } else { "green" };
    let victim = format!("api-{colour}-2");
    lab.shell(&victim, "systemctl kill --signal=STOP api");
    assert_eq!(lab.status()[&victim]["healthy"], false);
    let up = lab.ok(&["up"]);
    assert!(up.contains("hangs, and is restarted"), "{up}");
    assert_eq!(lab.status()[&victim]["healthy"], true);
}

#[test]
fn up_killed_midway_and_run_again_converges_while_traffic_goes_on() {
    let (_guard, lab) = Lab::shop();
    let load = Load::start(traffic(&lab));
    let idle = lab.status().into_values().find(|status| status["active"] == false).unwrap();
    let idle = idle["name"].as_str().unwrap().to_owned();
    for moment in [3, 10, 20, 35] {
        incus(&["delete", "--force", "--project", &lab.project(), &idle]);
        lab.kill_at(&["up"], |_, event| {
            // Counted from where the plan is applied: the check before it changes nothing.
            event["instance"] == idle.as_str() && event["type"] == "step_ended" && {
                static SEEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
                SEEN.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % moment == moment - 1
            }
        });
        lab.ok(&["up"]);
        assert_eq!(lab.summary(&["up"])["changed"], 0, "killed after {moment} steps");
        assert_eq!(lab.status()[&idle]["healthy"], true);
    }
    assert_unharmed(&load.stop());
}

#[test]
fn a_load_balancer_that_was_restarted_comes_back_with_the_active_colour() {
    let (_guard, lab) = Lab::shop();
    let before = lab.active();
    incus(&["restart", "--force", "--project", &lab.project(), "lb-1"]);
    lab.ok(&["up"]);
    let status = reqwest_get(&format!("{}/api/v1/status", lab.front_door()));
    assert!(status.contains(&before), "{status}");
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}

#[test]
fn a_configuration_that_haproxy_would_refuse_never_gets_into_place() {
    let (_guard, lab) = Lab::shop();
    let before = lab.shell("lb-1", "sha256sum /etc/haproxy/haproxy.cfg; ls -A /etc/haproxy");
    let step = serde_json::json!({
        "id": "test/config", "title": "configure HAProxy",
        "resource": {
            "kind": "file", "path": "/etc/haproxy/haproxy.cfg", "owner": "root", "group": "root", "mode": 0o644,
            "content": {"text": "frontend front\n    bind :80\n    use_backend nowhere\n"},
            "validate": ["haproxy", "-c", "-f", "{}"],
        },
    });
    let request = serde_json::json!({"mode": "apply", "steps": [step], "secrets": {}}).to_string();
    let agent = lab.shell("lb-1", "ls -t /usr/local/lib/bascule/agent-* | head -n 1");
    let output = lab.with_input(&["exec", "lb-1", "--", &agent, "agent"], request.as_bytes());
    let text = crate::lab::said(&output);
    assert!(text.contains("\"outcome\":\"failed\"") && text.contains("nowhere"), "{text}");
    assert_eq!(lab.shell("lb-1", "sha256sum /etc/haproxy/haproxy.cfg; ls -A /etc/haproxy"), before);
}

pub(crate) fn reqwest_get(url: &str) -> String {
    get_as(url, None).1
}

/// The status and the body of an answer, to nobody or to who bears a token.
pub(crate) fn get_as(url: &str, token: Option<&str>) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = crate::tls::client().build().unwrap();
        let request = client.get(url);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}
