//! `bascule check`, and how a platform file and an environment are found.

use super::Shop;

/// Three places that are wrong, and where.
const BROKEN: [(&str, &str); 3] = [
    ("subnet = \"10.20.0.0/24\"", "subnet = \"10.20.0.7/24\""),
    ("routes = [\"/api/\"]", "routez = [\"/api/\"]"),
    ("port = 8080", "port = 22"),
];
const PLACES: [(u64, u64); 3] = [(8, 10), (23, 8), (24, 1)];

fn broken() -> Shop {
    let shop = Shop::new();
    for (before, after) in BROKEN {
        shop.edit(before, after);
    }
    shop
}

#[test]
fn a_sound_platform_is_said_to_be_sound() {
    Shop::new().run(&["check"]).expect(0, &["shop/lab is sound: 9 instances"]);
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let ran = broken().run(&["check"]);
    let places = PLACES.map(|(line, column)| format!("platform.toml:{line}:{column}"));
    ran.expect(2, &places.each_ref().map(String::as_str));
    ran.expect(2, &["did you mean `routes`?", "port 22 belongs to the SSH server", "failed 3"]);
    assert!(!ran.stdout.contains('\u{1b}'), "colours went into a pipe: {}", ran.stdout);
}

#[test]
fn a_program_reads_mistakes_as_events_and_a_summary_at_the_end() {
    let ran = broken().run(&["check", "--output", "json"]);
    ran.expect(2, &[]);
    let events = ran.events();
    let (summary, diagnostics) = events.split_last().unwrap();
    assert!(diagnostics.iter().all(|event| event["type"] == "diagnostic"), "{diagnostics:#?}");
    let place = |event: &serde_json::Value| (event["line"].as_u64().unwrap(), event["column"].as_u64().unwrap());
    assert_eq!(diagnostics.iter().map(place).collect::<Vec<_>>(), PLACES);
    for diagnostic in diagnostics {
        assert_eq!(diagnostic["file"], "platform.toml");
        let texts = ["message", "help", "rendered"].map(|key| diagnostic[key].as_str().unwrap());
        assert!(texts.iter().all(|text| !text.is_empty() && !text.contains('\u{1b}')), "{diagnostic:#?}");
    }
    assert_eq!(summary["type"], "summary");
    assert_eq!([&summary["changed"], &summary["unchanged"], &summary["failed"]], [0, 0, 3]);
    assert!(summary["duration_ms"].is_u64(), "{summary}");
}

#[test]
fn a_program_reads_that_a_platform_is_sound() {
    let ran = Shop::new().run(&["check", "--output", "json"]);
    ran.expect(0, &[]);
    let events = ran.events();
    let summary = events.last().unwrap();
    assert_eq!((&summary["type"], &summary["failed"]), (&"summary".into(), &0.into()));
    assert!(
        summary["changed"].is_u64() && summary["unchanged"].is_u64() && summary["duration_ms"].is_u64(),
        "{summary}"
    );
}

#[test]
fn a_platform_file_that_is_not_there_is_named() {
    let shop = Shop::new();
    let elsewhere = ["check", "--platform", "elsewhere/platform.toml"];
    shop.run(&elsewhere).expect(2, &["there is no platform file elsewhere/platform.toml", "--platform FILE"]);
    let with_environment = [&elsewhere[..], &["--env", "lab"]].concat();
    shop.run(&with_environment).expect(2, &["elsewhere/platform.toml:1:1", "cannot be read"]);
}

#[test]
fn of_several_environments_one_has_to_be_named() {
    let shop = Shop::new();
    shop.write("env/prod.toml", "[network]\nsubnet = \"10.21.0.0/24\"\n");
    // No environment: the secrets of one.
    shop.write("env/prod.secrets.age", "");
    let ran = shop.run(&["check"]);
    ran.expect(2, &["which environment? platform.toml has lab, prod", "--env NAME"]);
    assert!(!ran.stdout.contains("secrets"), "{}", ran.stdout);
    shop.run(&["check", "--env", "prod"]).expect(0, &["shop/prod is sound"]);
    shop.run(&["check", "--env", "prd"]).expect(2, &["did you mean `prod`?"]);
}

#[test]
fn a_reader_that_went_away_is_no_reason_to_panic() {
    for arguments in [&["check"][..], &["check", "--output", "json"], &["--help"], &["check", "--env", "nowhere"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Shop::new().command(arguments).stdout(writer).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
        let exit = output.status.code();
        assert!(matches!(exit, Some(0 | 2)), "{arguments:?}: {exit:?}");
    }
}
