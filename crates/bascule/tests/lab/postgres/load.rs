//! More clients than connections.

use super::site::Site;

/// Without the server, in whose package it is.
const INSTALL: &str = "cd /tmp && apt-get -qq update && apt-get -qq download postgresql-17 && dpkg -x postgresql-17_*.deb /opt/postgresql";

#[test]
#[ignore = "not seen green on a quiet machine yet: issue 7"]
fn five_hundred_clients_get_an_answer_to_everything() {
    let site = Site::up();
    site.lab.ok(&["exec", "tools-1", "--", "sh", "-c", INSTALL]);
    // Tables are made as by a migration, whose role is not the application's.
    let made = site.pgbench("shop_migrate", "bascule/postgres/migrate/shop", "--initialize --scale 10");
    assert!(made.contains("done in"), "{made}");
    for protocol in ["simple", "prepared"] {
        let options = format!("--client 500 --jobs 4 --time 30 --no-vacuum --protocol {protocol}");
        let told = site.pgbench("tools", "bascule/postgres/user/tools", &options);
        println!("postgres: pgbench: {told}");
        assert!(told.contains("number of failed transactions: 0 (0.000%)"), "{told}");
        assert!(!told.contains("error") && !told.contains("aborted"), "{told}");
    }
    site.is_whole_again();
}
