//! The least machine that the conformance rules can tell from a real one: files, and three commands.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use bascule_incus::fake::{Command, FakeExit, Handler};
use bascule_incus::{Exited, FileKind, Image, InstanceFile};

type Files = BTreeMap<String, InstanceFile>;

#[derive(Debug, Default)]
pub(crate) struct Machines(Mutex<BTreeMap<(String, String), Files>>);

impl Machines {
    fn with<T>(&self, project: &str, instance: &str, act: impl FnOnce(&mut Files) -> T) -> T {
        act(self.0.lock().unwrap().entry((project.to_owned(), instance.to_owned())).or_default())
    }
}

#[async_trait]
impl Handler for Machines {
    fn created(&self, project: &str, instance: &str, _: &Image) {
        self.with(project, instance, |files| {
            let root = InstanceFile { kind: FileKind::Directory, uid: 0, gid: 0, mode: 0o700 };
            *files = Files::from([("/root".to_owned(), root)]);
        });
    }

    fn rebuilt(&self, project: &str, instance: &str, image: &Image) {
        self.created(project, instance, image);
    }

    async fn exec(&self, Command { argv, stdin, .. }: Command) -> FakeExit {
        match argv[0].as_str() {
            "cat" => FakeExit::ok(stdin),
            "true" => FakeExit::ok(""),
            "false" => FakeExit::failed(1, ""),
            "ls" => FakeExit::failed(2, format!("ls: cannot access '{}'", argv[1])),
            _ => FakeExit::failed(Exited::NOT_FOUND, ""),
        }
    }

    fn push_file(&self, project: &str, instance: &str, path: &str, file: InstanceFile) -> Result<(), String> {
        self.with(project, instance, |files| {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if !files.contains_key(parent) {
                return Err("file does not exist".to_owned());
            }
            match files.get_mut(path) {
                Some(old) => old.kind = file.kind,
                None => drop(files.insert(path.to_owned(), file)),
            }
            Ok(())
        })
    }

    fn pull_file(&self, project: &str, instance: &str, path: &str) -> Option<InstanceFile> {
        self.with(project, instance, |files| files.get(path).cloned())
    }

    fn delete_file(&self, project: &str, instance: &str, path: &str) -> bool {
        self.with(project, instance, |files| files.remove(path).is_some())
    }
}
