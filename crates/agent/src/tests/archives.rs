use bascule_plan::Resource;
use bascule_plan::agent::Outcome;

use super::*;
use crate::system::{Access, Kind};

fn staged(machine: &Machine, path: &str, name: &str, bytes: &[u8]) -> Resource {
    let (archive, bytes) = archive(path, name, bytes);
    machine.put_file(&archive.blob.staged_path(), bytes);
    Resource::Archive(archive)
}

#[test]
fn an_archive_is_unpacked_as_roots_with_plain_modes_and_its_blob_is_gone() {
    let machine = Machine::default();
    let resource =
        staged(&machine, "/opt/app/abc", "app of abc", &tarball(&[("./bin/app*", "program"), ("share/page", "text")]));
    let Resource::Archive(archive) = resource.clone() else { unreachable!() };
    let said = converges(&machine, resource);
    assert_eq!(said.reason, "the archive is not unpacked yet");
    assert_eq!(machine.content("/opt/app/abc/bin/app").unwrap(), "program");
    assert_eq!(machine.metadata_of("/opt/app/abc/bin/app").unwrap().access, Access::root(0o755));
    assert_eq!(machine.metadata_of("/opt/app/abc/share/page").unwrap().access, Access::root(0o644));
    assert_eq!(machine.content(&archive.blob.staged_path()), None);
    assert_eq!(machine.paths_below("/opt/app").iter().filter(|path| path.contains("bascule")).count(), 0);
}

#[test]
fn another_archive_at_the_same_path_replaces_the_whole_directory() {
    let machine = Machine::default();
    let first = staged(&machine, "/opt/app", "one", &tarball(&[("only-in-one", "1")]));
    apply(&machine, &[first]);
    let second = staged(&machine, "/opt/app", "two", &tarball(&[("only-in-two", "2")]));
    converges(&machine, second);
    assert_eq!(machine.paths_below("/opt/app"), ["/opt/app/only-in-two"]);
}

#[test]
fn going_back_to_an_archive_is_not_skipped_after_a_killed_change_to_another() {
    for n in 0.. {
        let machine = Machine::default();
        let one = tarball(&[("app", "one")]);
        let first = [staged(&machine, "/opt/app", "one", &one)];
        apply(&machine, &first);
        let second = [staged(&machine, "/opt/app", "two", &tarball(&[("app", "two")]))];
        machine.kill_after(n);
        if !machine.agent(&request(Mode::Apply, &second)).killed {
            break;
        }
        staged(&machine, "/opt/app", "one", &one);
        apply(&machine, &first);
        assert_eq!(machine.content("/opt/app/app").as_deref(), Some("one"), "killed before change {n}");
    }
}

#[test]
fn a_blob_that_was_not_brought_or_is_another_is_named() {
    let machine = Machine::default();
    let (wanted, bytes) = archive("/opt/app", "app of abc", &tarball(&[("a", "1")]));
    let said = apply(&machine, &[Resource::Archive(wanted.clone())]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Failed);
    assert!(said.reason.contains("blob of app of abc was not brought"), "{}", said.reason);

    machine.put_file(&wanted.blob.staged_path(), &bytes[..bytes.len() - 1]);
    let said = apply(&machine, &[Resource::Archive(wanted.clone())]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Failed);
    assert!(said.reason.contains(&wanted.blob.sha256), "{}", said.reason);
    assert_eq!(machine.content(&wanted.blob.staged_path()), None, "so that the right one is brought next time");
}

#[test]
fn an_archive_that_leads_outside_is_refused_and_leaves_nothing() {
    let link = |name: &'static str, target: &'static str| {
        pack(move |builder| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, name, target).unwrap();
        })
    };
    let raw = |name: &'static str| {
        pack(move |builder| {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(4);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, &b"evil"[..]).unwrap();
        })
    };
    let kind = |kind: tar::EntryType| {
        pack(move |builder| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_mode(0o644);
            builder.append_data(&mut header, "odd", std::io::empty()).unwrap();
        })
    };
    let through_a_link = pack(|builder| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "here", ".").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        builder.append_data(&mut header, "here/evil", &b"evil"[..]).unwrap();
    });
    let evil = [
        raw("../evil"),
        raw("/evil"),
        raw("a/../../evil"),
        link("out", "/etc"),
        link("out", "../etc"),
        link("a/out", "b/../../../etc"),
        kind(tar::EntryType::Char),
        kind(tar::EntryType::Fifo),
        through_a_link,
        b"this is no archive".to_vec(),
    ];
    for (index, bytes) in evil.iter().enumerate() {
        let machine = Machine::default();
        let resource = staged(&machine, "/opt/app", "evil", bytes);
        let said = apply(&machine, &[resource]).pop().unwrap();
        assert_eq!(said.outcome, Outcome::Failed, "{index}");
        assert!(said.reason.contains("was refused"), "{index}: {}", said.reason);
        assert_eq!(machine.paths_below("/opt"), Vec::<String>::new(), "{index}");
        assert_eq!(machine.metadata_of("/evil"), None, "{index}");
    }
}

#[test]
fn links_within_an_archive_are_kept() {
    let machine = Machine::default();
    let bytes = pack(|builder| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "lib/deep/so", "../../so.1").unwrap();
    });
    let resource = staged(&machine, "/opt/app", "app", &bytes);
    converges(&machine, resource);
    let kind = machine.metadata_of("/opt/app/lib/deep/so").unwrap().kind;
    assert_eq!(kind, Kind::Symlink { target: "../../so.1".to_owned() });
}
