use bascule_pki::Pair;
use bascule_plan::{Authority, Certificate, Usage};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::system::Finished;

const PATH: &str = "/etc/nginx/tls.pem";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// An authority, the certificate that is wanted of it, and the machine that wants it.
struct Scene {
    machine: Machine,
    authority: Pair,
    wanted: Certificate,
    issued: u64,
}

impl Scene {
    fn new() -> Self {
        let machine = Machine::default();
        let authority = bascule_pki::make_authority("Shop internal", machine.unix_s(), &mut StdRng::seed_from_u64(1));
        let authority = authority.unwrap();
        let wanted = Certificate {
            path: PATH.to_owned(),
            owner: "root".to_owned(),
            group: "root".to_owned(),
            mode: 0o600,
            authority: Authority { certificate: authority.certificate.clone(), key: "ca".to_owned() },
            names: vec!["web-1".to_owned()],
            addresses: vec![[10, 99, 0, 11].into()],
            usage: Usage::Server,
            lifetime_days: 90,
        };
        Self { machine, authority, wanted, issued: 0 }
    }

    fn check(&self) -> Said {
        check(&self.machine, &[Resource::Certificate(Box::new(self.wanted.clone()))]).pop().unwrap()
    }

    /// Every apply comes with a certificate of its own, as the engine does it.
    fn request(&mut self, more: &[Resource]) -> Request {
        self.issued += 1;
        let rng = &mut StdRng::seed_from_u64(100 + self.issued);
        let pem = bascule_pki::issue(&self.wanted, &self.authority.key, self.machine.unix_s(), rng).unwrap();
        let resources = [&[Resource::Certificate(Box::new(self.wanted.clone()))], more].concat();
        let mut request = request(Mode::Apply, &resources);
        request.certificates.insert(PATH.to_owned(), pem);
        request
    }

    fn apply(&mut self, more: &[Resource]) -> Vec<Said> {
        let request = self.request(more);
        ends(&self.machine.agent(&request).reports)
    }

    fn apply_one(&mut self) -> Said {
        self.apply(&[]).pop().unwrap()
    }

    fn pass_days(&self, days: u64) {
        self.machine.sleep_ms(days * DAY_MS);
    }

    fn pem(&self) -> String {
        self.machine.content(PATH).unwrap()
    }
}

#[test]
fn a_certificate_is_put_in_place_once_with_its_key_closed_to_others() {
    let mut scene = Scene::new();
    assert_eq!((scene.check().outcome, scene.check().reason.as_str()), (Outcome::WouldChange, "does not exist"));
    assert_eq!(scene.apply_one().outcome, Outcome::Changed);
    let first = scene.pem();
    assert_eq!(scene.machine.metadata_of(PATH).unwrap().access.mode, 0o600);
    let again = scene.apply_one();
    assert_eq!((again.outcome, again.reason.as_str()), (Outcome::Unchanged, "is good for 90 days more"));
    assert_eq!(scene.pem(), first, "what is good is kept");
}

#[test]
fn a_certificate_is_renewed_when_less_than_a_third_is_left_and_not_before() {
    let mut scene = Scene::new();
    scene.apply_one();
    let first = scene.pem();
    scene.pass_days(60);
    assert_eq!(scene.check().reason, "is good for 30 days more");
    assert_eq!(scene.apply_one().outcome, Outcome::Unchanged);
    scene.pass_days(1);
    assert_eq!(scene.check().reason, "has 29 of 90 days left");
    assert_eq!(scene.apply_one().outcome, Outcome::Changed);
    assert_ne!(scene.pem(), first);
    assert_eq!(scene.check().reason, "is good for 90 days more");
}

#[test]
fn a_renewed_certificate_is_loaded_by_a_reload_and_a_new_mode_by_nobody() {
    let mut scene = Scene::new();
    scene.machine.put_file("/etc/systemd/system/nginx.service", "[Unit]\n");
    scene.machine.unit_reads("nginx.service", &[], &[PATH]);
    let nginx = [unit("nginx.service", UnitState::Running, &[], &[PATH])];
    scene.apply(&nginx);
    scene.pass_days(61);
    let said = scene.apply(&nginx);
    assert_eq!(outcomes(&said), [Outcome::Changed, Outcome::Changed]);
    assert_eq!((scene.machine.starts("nginx.service"), scene.machine.reloads("nginx.service")), (1, 1));
    assert!(scene.machine.runs_current("nginx.service"));

    let before = scene.pem();
    scene.wanted.mode = 0o640;
    assert_eq!(outcomes(&scene.apply(&nginx)), [Outcome::Changed, Outcome::Unchanged]);
    assert_eq!(scene.pem(), before);
    assert_eq!(scene.machine.reloads("nginx.service"), 1);
}

#[test]
fn a_renewal_that_is_killed_anywhere_is_finished_by_the_next_run() {
    for change in 0.. {
        let mut scene = Scene::new();
        scene.machine.put_file("/etc/systemd/system/nginx.service", "[Unit]\n");
        scene.machine.unit_reads("nginx.service", &[], &[PATH]);
        let nginx = [unit("nginx.service", UnitState::Running, &[], &[PATH])];
        scene.apply(&nginx);
        scene.pass_days(61);
        let request = scene.request(&nginx);
        scene.machine.kill_after(change);
        let killed = scene.machine.agent(&request).killed;
        assert!(bascule_pki::expiry(&scene.pem()).is_some(), "a whole certificate is there at any moment");
        scene.apply(&nginx);
        assert_eq!(scene.check().outcome, Outcome::Unchanged, "killed before change {change}");
        assert!(scene.machine.runs_current("nginx.service"), "killed before change {change}");
        if !killed {
            assert!(change > 3, "a renewal is several changes");
            return;
        }
    }
}

#[test]
fn it_is_told_until_when_a_certificate_is_good() {
    let mut scene = Scene::new();
    let request = scene.request(&[file("/etc/motd", "hello\n")]);
    let told: Vec<Option<u64>> = (scene.machine.agent(&request).reports.iter())
        .filter_map(|report| if let Report::End { expires_s, .. } = report { Some(*expires_s) } else { None })
        .collect();
    assert_eq!(told, [Some(scene.machine.unix_s() + 90 * DAY_MS / 1000), None]);
}

#[test]
fn a_key_never_appears_in_a_report_even_when_something_quotes_it() {
    let mut scene = Scene::new();
    scene.machine.on_command("quote", |machine, _| Finished::exited(1, machine.content(PATH).unwrap()));
    let request = scene.request(&[command(&["quote"], &["quote"])]);
    let said = serde_json::to_string(&scene.machine.agent(&request).reports).unwrap();
    let pem = scene.pem();
    let key = pem[pem.find("-----BEGIN PRIVATE KEY").unwrap()..].lines().nth(1).unwrap();
    assert!(said.contains(&format!("[secret {PATH}]")) && !said.contains(key), "{said}");
}

#[test]
fn a_check_needs_no_new_certificate_and_an_apply_without_one_says_so() {
    let scene = Scene::new();
    assert_eq!(scene.check().outcome, Outcome::WouldChange);
    let said = apply(&scene.machine, &[Resource::Certificate(Box::new(scene.wanted.clone()))]).pop().unwrap();
    let why = format!("no certificate for {PATH} was given");
    assert_eq!((said.outcome, said.reason.as_str()), (Outcome::Failed, why.as_str()));
}
