//! Commands and files.

use std::time::Duration;

use bascule_incus::{Exec, FileKind, InstanceFile, Stdin, StopMode};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Ground, assert_error, run};

pub(crate) async fn a_command_gets_its_input_and_gives_its_output_and_code(ground: &Ground<'_>) {
    let (incus, [project, _]) = (ground.incus, ground.projects);
    ground.start_new("a", "10.99.61.10").await;

    let (exited, output) = ground.exec("a", &["cat"], "to and fro").await;
    assert_eq!((exited.code, output.as_slice()), (0, b"to and fro".as_slice()));
    let (exited, output) = ground.exec("a", &["cat"], "").await;
    assert_eq!((exited.success(), output.len()), (true, 0));

    // Larger than any buffer on the way, in chunks, by a stream.
    let sent: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (sender, stream) = mpsc::channel(2);
    let mut exec = Exec::new(["cat"], Duration::from_secs(60));
    exec.stdin = Stdin::Stream(stream);
    let feed = async {
        for chunk in sent.chunks(100_000) {
            sender.send(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        drop(sender);
    };
    let (result, ()) = tokio::join!(run(incus, project, "a", exec), feed);
    let (exited, output) = result.unwrap();
    assert!(exited.success() && output == sent, "{} of {} bytes came back", output.len(), sent.len());

    let (exited, output) = ground.exec("a", &["ls", "/bslt-none"], "").await;
    assert_eq!((exited.code, output.len()), (2, 0));
    assert!(exited.stderr_tail.contains("/bslt-none"), "{exited:?}");
    let (exited, _) = ground.exec("a", &["false"], "never read").await;
    assert_eq!((exited.code, exited.success()), (1, false));
    let (exited, _) = ground.exec("a", &["bslt-no-such-command"], "").await;
    assert!(exited.command_not_found(), "{exited:?}");

    let exec = || Exec::new(["true"], Duration::from_secs(30));
    incus.freeze(project, "a").await.unwrap();
    assert_error!(run(incus, project, "a", exec()).await, Refused);
    incus.unfreeze(project, "a").await.unwrap();
    incus.stop(project, "a", StopMode::Force).await.unwrap();
    assert_error!(run(incus, project, "a", exec()).await, Refused);
    assert_error!(run(incus, project, "none", exec()).await, NotFound);
}

pub(crate) async fn a_file_is_pushed_pulled_and_deleted_also_while_stopped(ground: &Ground<'_>) {
    let (incus, [project, _]) = (ground.incus, ground.projects);
    ground.start_new("a", "10.99.61.10").await;
    let file =
        |content: &str| InstanceFile { kind: FileKind::File(content.to_owned().into()), uid: 7, gid: 8, mode: 0o640 };

    for running in [true, false] {
        if !running {
            incus.stop(project, "a", StopMode::Force).await.unwrap();
        }
        let directory = InstanceFile { kind: FileKind::Directory, uid: 0, gid: 0, mode: 0o750 };
        incus.push_file(project, "a", "/root/d", directory.clone()).await.unwrap();
        incus.push_file(project, "a", "/root/d/f ü", file("one")).await.unwrap();
        let link = InstanceFile { kind: FileKind::Symlink("/root/d/f ü".into()), uid: 0, gid: 0, mode: 0o777 };
        incus.push_file(project, "a", "/root/l", link.clone()).await.unwrap();

        assert_eq!(incus.pull_file(project, "a", "/root/d").await.unwrap(), Some(directory));
        assert_eq!(incus.pull_file(project, "a", "/root/d/f ü").await.unwrap(), Some(file("one")));
        assert_eq!(incus.pull_file(project, "a", "/root/l").await.unwrap(), Some(link));
        let other = InstanceFile { mode: 0o600, uid: 0, ..file("two") };
        incus.push_file(project, "a", "/root/d/f ü", other).await.unwrap();
        assert_eq!(
            incus.pull_file(project, "a", "/root/d/f ü").await.unwrap(),
            Some(file("two")),
            "an old file keeps owner and mode"
        );

        incus.delete_file(project, "a", "/root/l").await.unwrap();
        incus.delete_file(project, "a", "/root/d/f ü").await.unwrap();
        incus.delete_file(project, "a", "/root/d").await.unwrap();
        assert_eq!(incus.pull_file(project, "a", "/root/d/f ü").await.unwrap(), None);
        assert_error!(incus.delete_file(project, "a", "/root/d").await, NotFound);
        assert!(incus.push_file(project, "a", "/root/d/f ü", file("no parent")).await.is_err());
    }
    assert_eq!(incus.pull_file(project, "none", "/root").await.unwrap(), None);
    assert_error!(incus.push_file(project, "none", "/root/f", file("")).await, NotFound);
}
