//! What only a real daemon can show.

use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};

use bascule_incus::{
    Client, DEFAULT_SOCKET, Error, Exec, Incus, NewImage, Progress, Stdin, StopMode, Terminal, TerminalInput,
    TerminalSize,
};
use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use crate::conformance::{Ground, assert_error, config, run};

/// All share one bridge: one at a time.
pub(crate) static LAB: Mutex<()> = Mutex::const_new(());
const TEST_TIMEOUT: Duration = Duration::from_secs(90);

/// Runs a test on the real daemon, from nothing to nothing.
pub(crate) async fn on_lab(test: impl AsyncFnOnce(&Ground<'_>, &Client)) {
    if !there_is_a_lab() {
        return;
    }
    let _alone = LAB.lock().await;
    let client = Client::unix(DEFAULT_SOCKET).unwrap();
    on_ground(&client.with_operation_timeout(Duration::from_secs(60)), test).await;
}

pub(crate) fn there_is_a_lab() -> bool {
    let there_is = std::env::var_os("BASCULE_LAB").is_some();
    if !there_is {
        eprintln!("skipped: BASCULE_LAB is not set, so no Incus is used");
    }
    there_is
}

pub(crate) async fn on_ground(client: &Client, test: impl AsyncFnOnce(&Ground<'_>, &Client)) {
    let ground = Ground::new(client, &base_image(client).await);
    let network = [
        ("ipv4.address", "10.99.61.1/24"),
        ("ipv4.nat", "true"),
        ("ipv6.address", "none"),
        ("bridge.mtu", &uplink_mtu()),
    ];
    ground.set_up(config(&network)).await;
    tokio::time::timeout(TEST_TIMEOUT, test(&ground, client)).await.expect("the test hangs");
    ground.tear_down().await;
}

/// The image that `BASCULE_BASE_IMAGE` names, or else any Debian there is.
async fn base_image(client: &Client) -> String {
    let wanted = std::env::var("BASCULE_BASE_IMAGE").unwrap_or_else(|_| "bascule/base".to_owned());
    if client.image("default", &wanted).await.unwrap().is_some() {
        return wanted;
    }
    let images = client.images("default").await.unwrap();
    let debian =
        images.into_iter().find(|image| image.properties.get("os").is_some_and(|os| os.eq_ignore_ascii_case("debian")));
    debian.unwrap_or_else(|| panic!("there is no image {wanted}, and no other Debian")).fingerprint
}

/// The bridge's MTU must be that of the interface with the default route.
fn uplink_mtu() -> String {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap();
    let default = routes
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.get(1) == Some(&"00000000"));
    let mtu = default.and_then(|fields| std::fs::read_to_string(format!("/sys/class/net/{}/mtu", fields[0])).ok());
    mtu.map_or_else(|| "1400".to_owned(), |mtu| mtu.trim().to_owned())
}

#[tokio::test]
async fn the_server_tells_its_version_and_extensions() {
    on_lab(async |_, client| {
        let server = client.server().await.unwrap();
        assert!(server.version.starts_with(|first: char| first.is_ascii_digit()), "{server:?}");
        assert!(server.api_extensions.contains("instance_create_start"), "{server:?}");
    })
    .await;
}

#[tokio::test]
async fn a_forced_stop_ends_a_running_command_as_killed() {
    on_lab(async |ground, client| {
        ground.start_new("a", "10.99.61.10").await;
        let exec = Exec::new(["sleep", "60"], Duration::from_secs(50));
        let stop = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            client.stop(ground.projects[0], "a", StopMode::Force).await.unwrap();
        };
        let started = Instant::now();
        let (result, ()) = tokio::join!(run(client, ground.projects[0], "a", exec), stop);
        assert_eq!(result.unwrap().0.code, 137);
        assert!(started.elapsed() < Duration::from_secs(30), "it was the time-out that ended it");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_command_is_killed() {
    on_lab(async |ground, client| {
        ground.start_new("a", "10.99.61.10").await;
        let (_input, stream) = mpsc::channel(1);
        let mut exec = Exec::new(["sleep", "4321"], Duration::from_secs(50));
        exec.stdin = Stdin::Stream(stream);
        let dropped =
            tokio::time::timeout(Duration::from_millis(700), run(client, ground.projects[0], "a", exec)).await;
        assert!(dropped.is_err());
        for _ in 0..50 {
            if ground.exec("a", &["pgrep", "-f", "sleep 4321"], "").await.0.code == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the command is still running");
    })
    .await;
}

#[tokio::test]
async fn a_command_that_takes_too_long_says_which_and_is_killed() {
    on_lab(async |ground, client| {
        ground.start_new("a", "10.99.61.10").await;
        let exec = Exec::new(["sleep", "1234"], Duration::from_millis(700));
        let error = run(client, ground.projects[0], "a", exec).await.unwrap_err();
        assert!(matches!(&error, Error::Timeout { last_status, .. } if last_status == "Running"), "{error:?}");
        assert!(error.to_string().contains("run sleep on a"), "{error}");
        let (exited, _) = ground.exec("a", &["sh", "-c", "sleep 1; pgrep -f 'sleep 123[4]'"], "").await;
        assert_eq!(exited.code, 1, "the command is still running");
    })
    .await;
}

#[tokio::test]
async fn a_command_may_exit_before_it_has_read_its_input() {
    on_lab(async |ground, _| {
        ground.start_new("a", "10.99.61.10").await;
        let (exited, output) = ground.exec("a", &["head", "-c", "3"], vec![b'x'; 5_000_000]).await;
        assert_eq!((exited.code, output.as_slice()), (0, b"xxx".as_slice()));
    })
    .await;
}

#[tokio::test]
async fn many_commands_at_once_share_the_event_stream() {
    on_lab(async |ground, _| {
        ground.start_new("a", "10.99.61.10").await;
        let all = (0..25).map(|n| ground.exec("a", &["cat"], format!("{n}")));
        for (n, (exited, output)) in futures_util::future::join_all(all).await.into_iter().enumerate() {
            assert_eq!((exited.code, output), (0, n.to_string().into_bytes()));
        }
    })
    .await;
}

#[tokio::test]
async fn a_terminal_has_a_size_that_can_change_and_takes_input() {
    on_lab(async |ground, client| {
        ground.start_new("a", "10.99.61.10").await;
        let (input, typed) = mpsc::channel(8);
        let (output, mut shown) = mpsc::channel::<Bytes>(8);
        let terminal = Terminal {
            argv: vec!["sh".into()],
            env: config(&[("TERM", "dumb"), ("PS1", "")]),
            size: TerminalSize { columns: 91, rows: 23 },
            input: typed,
            output,
        };
        let person = async {
            let mut seen = String::new();
            let mut until = async |text: &str| {
                while !seen.contains(text) {
                    let chunk = tokio::time::timeout(Duration::from_secs(10), shown.recv()).await;
                    seen.push_str(&String::from_utf8_lossy(
                        &chunk.unwrap_or_else(|_| panic!("no {text} in {seen:?}")).unwrap(),
                    ));
                }
            };
            input.send(TerminalInput::Bytes("stty size\n".into())).await.unwrap();
            until("23 91").await;
            input.send(TerminalInput::Resize(TerminalSize { columns: 120, rows: 50 })).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            input.send(TerminalInput::Bytes("stty size\n".into())).await.unwrap();
            until("50 120").await;
            input.send(TerminalInput::Bytes("exit 5\n".into())).await.unwrap();
            while shown.recv().await.is_some() {}
        };
        let (exited, ()) = tokio::join!(client.terminal(ground.projects[0], "a", terminal), person);
        assert_eq!(exited.unwrap().code, 5);
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_does_not_shut_down_in_time_is_an_error() {
    on_lab(async |ground, client| {
        ground.start_new("a", "10.99.61.10").await;
        // An init that is frozen by a signal cannot answer the request to shut down.
        client.freeze(ground.projects[0], "a").await.unwrap();
        let stop = client.stop(ground.projects[0], "a", StopMode::Graceful { timeout: Duration::from_secs(2) }).await;
        assert_error!(stop, Refused);
    })
    .await;
}

#[tokio::test]
async fn a_split_image_is_imported_from_disk_once_and_its_alias_moves() {
    on_lab(async |ground, client| {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, entry: &str, content: &[u8]| {
            let path = folder.path().join(name);
            let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, entry, content).unwrap();
            tar.finish().unwrap();
            path
        };
        // With properties of its own, which are replaced: should the client ever send its properties as a header again,
        // metadata without any would take the daemon down, and with it everybody else who uses it.
        let yaml = b"architecture: x86_64\ncreation_date: 1700000000\nproperties: {os: something}\n";
        let metadata = write("metadata.tar", "metadata.yaml", yaml);
        let image = |rootfs| NewImage {
            metadata: metadata.clone(),
            rootfs,
            alias: "bslt/imported".into(),
            properties: config(&[("os", "nothing"), ("bascule.key", "a b&c=d")]),
        };
        let first = image(write("rootfs.tar", "etc/one", &vec![1; 2_000_000]));
        let project = ground.projects[0];

        let told = Arc::new(StdMutex::new(Vec::new()));
        let progress: Progress = Arc::new({
            let told = told.clone();
            move |transferred| told.lock().unwrap().push(transferred)
        });
        let fingerprint = client.import_image(project, first.clone(), Some(progress)).await.unwrap();
        let last = *told.lock().unwrap().last().unwrap();
        assert!(last.sent_bytes == last.total_bytes && last.total_bytes > 2_000_000, "{last:?}");
        let found = client.image(project, "bslt/imported").await.unwrap().unwrap();
        assert_eq!((&found.fingerprint, &found.properties), (&fingerprint, &first.properties));

        assert_eq!(client.import_image(project, first, None).await.unwrap(), fingerprint);
        let second = client.import_image(project, image(write("other.tar", "etc/two", b"2")), None).await.unwrap();
        assert_ne!(second, fingerprint);
        assert_eq!(client.image(project, "bslt/imported").await.unwrap().unwrap().fingerprint, second);
        client.delete_image(project, &fingerprint).await.unwrap();

        let missing = NewImage { rootfs: folder.path().join("none"), ..image(metadata.clone()) };
        assert_error!(client.import_image(project, missing, None).await, Read);
    })
    .await;
}
