use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{MutexGuard, OnceLock};
use std::time::Instant;

use serde_json::Value;

use crate::lab::{A, BETWEEN_LOOKS, Lab, archive, events, folder, said};
use crate::postgres::formation::{self, PATIENCE};

/// PostgreSQL with two nodes, backed up to a small store.
pub(super) struct Site {
    pub(super) lab: Lab,
    _one_at_a_time: MutexGuard<'static, ()>,
}

const PLATFORM: &str = r#"
name = "backup"

[network]
bridge = "bslt-backup"
subnet = "10.99.40.0/24"

[incus]
project = "bascule-test-backup"

[ssh]
allow_from = ["10.99.40.0/24"]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH nobody"]

[release]
artifacts = "artifacts"

[load_balancer]
topology = "multi-instance"
connections_max = 1000

[component.web]
kind = "static"
replicas = 1
default = true

[postgres]
volume = "4GiB"

[postgres.pooler]
instances = 1

[postgres.database.shop]
expect = { orders = 1000 }

[postgres.backup]
bucket = "backups"

[store]
instances = 3
parity = 1
volume = "6GiB"

[store.bucket.backups]
"#;

impl Site {
    /// The store keeps its objects, the formation is whole, and the first backup was made.
    pub(super) fn up() -> Self {
        static FILES: OnceLock<()> = OnceLock::new();
        static READY: OnceLock<()> = OnceLock::new();
        let (guard, lab) = Lab::of(Self::folder(), "backup");
        let site = Self { lab, _one_at_a_time: guard };
        FILES.get_or_init(|| {
            let folder = Self::folder();
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("env")).unwrap();
            fs::create_dir_all(folder.join("artifacts").join(A)).unwrap();
            fs::write(folder.join("platform.toml"), PLATFORM).unwrap();
            fs::write(folder.join("env/backup.toml"), "").unwrap();
            let version = format!("{{\"commit\":\"{A}\"}}");
            archive(&folder.join("artifacts").join(A).join("web.tar.gz"), &[("version.json", &version, "0644")]);
            site.lab.ok(&["init", folder.to_str().unwrap()]);
        });
        READY.get_or_init(|| {
            site.lab.ok(&["up"]);
            site.wait_until_store_is_whole();
            assert_eq!(site.lab.summary(&["up"])["changed"], 0);
            let put = ["exec", "store-1", "--", "sh", "-c", "cat >/root/damage.py"];
            assert!(site.lab.with_input(&put, include_bytes!("damage.py")).status.success());
            site.in_shop("SET ROLE shop_owner; CREATE TABLE orders (id integer PRIMARY KEY, what text)");
            site.in_shop("INSERT INTO orders SELECT n, md5(n::text) FROM generate_series(1, 5000) n");
            site.due();
        });
        formation::heal(&site.lab);
        site.wait_until_whole();
        site
    }

    fn folder() -> PathBuf {
        folder().with_file_name("lab-backup")
    }

    fn wait_until_store_is_whole(&self) {
        let began = Instant::now();
        while !self.lab.run(&["exec", "store-1", "--", "/usr/local/lib/bascule/store", "whole"]).status.success() {
            assert!(began.elapsed() < PATIENCE);
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// The primary and the standby, as soon as nobody has to see to anything.
    pub(super) fn wait_until_whole(&self) -> (String, String) {
        formation::wait_until_whole(&self.lab)
    }

    /// Writes the environment's overlay.
    pub(super) fn change(&self, overlay: &str) {
        fs::write(Self::folder().join("env/backup.toml"), overlay).unwrap();
    }

    /// Waits until nobody has to see to anything, whatever the nodes are called. A formation that just begins has no backup yet.
    pub(super) fn wait_until_well(&self) {
        let began = Instant::now();
        loop {
            let told = formation::status(&self.lab);
            let alerts = told["alerts"].as_array().unwrap();
            if told["primary"].is_string()
                && alerts.iter().all(|alert| alert["message"].as_str().unwrap().contains("backup"))
            {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{told:#}");
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// What the timer does on the primary.
    pub(super) fn due(&self) {
        let primary = self.primary();
        self.lab.ok(&["exec", &primary, "--", "systemctl", "start", "bascule-backup.service"]);
    }

    pub(super) fn primary(&self) -> String {
        formation::status(&self.lab)["primary"].as_str().unwrap().to_owned()
    }

    /// What the primary answers.
    pub(super) fn sql(&self, statement: &str) -> String {
        self.asked("postgres", statement)
    }

    pub(super) fn in_shop(&self, statement: &str) -> String {
        self.asked("shop", statement)
    }

    fn asked(&self, database: &str, statement: &str) -> String {
        let output = self.lab.run(&["pg", "psql", database, "--", "-v", "ON_ERROR_STOP=1", "-qAtc", statement]);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends the current piece of the log, and gives its name.
    pub(super) fn switch(&self) -> String {
        self.sql("CREATE TABLE IF NOT EXISTS written (at timestamptz)");
        self.sql("INSERT INTO written VALUES (clock_timestamp())");
        let name = self.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
        self.sql("SELECT pg_switch_wal()");
        name
    }

    pub(super) fn is_archived(&self, segment: &str) -> bool {
        let line = "runuser -u postgres -- pgbackrest --log-level-console=off --recurse repo-ls archive/main";
        self.lab.shell(&self.primary(), line).contains(segment)
    }

    pub(super) fn wait_until_archived(&self, segment: &str) {
        let began = Instant::now();
        while !self.is_archived(segment) {
            assert!(began.elapsed() < PATIENCE, "{segment} is not archived: {:#}", formation::status(&self.lab));
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// The events of a kind that `backup list` tells.
    pub(super) fn listed(&self, kind: &str) -> Vec<Value> {
        let output = self.lab.run(&["backup", "list", "--output", "json"]);
        assert!(output.status.success(), "{}", said(&output));
        events(&output).into_iter().filter(|event| event["type"] == kind).collect()
    }

    pub(super) fn cut_off(&self, node: &str) {
        formation::cut(&self.lab, node, "lb-1");
    }

    /// No instance that lives for a moment gets to an address.
    pub(super) fn cut_off_all_that_dhcp_serves(&self, address: &str) {
        formation::cut_addresses(&self.lab, "10.99.40.240-10.99.40.254", address);
    }

    pub(super) fn heal(&self) {
        formation::heal(&self.lab);
    }

    /// Has something done to the files of the repository; see the program.
    pub(super) fn damage(&self, arguments: &str) -> String {
        let output =
            self.lab.run(&["exec", "store-1", "--", "sh", "-c", &format!("python3 /root/damage.py {arguments}")]);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(super) fn secret(&self, name: &str) -> Vec<u8> {
        let output: Output = self.lab.run(&["secrets", "show", name]);
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    }
}

/// What is left of a test that failed would cut the next one's instances, too.
impl Drop for Site {
    fn drop(&mut self) {
        self.heal();
    }
}
