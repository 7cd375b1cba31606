//! More clients than connections.

use super::site::Site;

/// Without the server, in whose package it is.
const INSTALL: &str = "cd /tmp && apt-get -qq update && apt-get -qq download postgresql-17 && dpkg -x postgresql-17_*.deb /opt/postgresql";

#[test]
fn five_hundred_clients_get_an_answer_to_everything() {
    let site = Site::up();
    site.lab.ok(&["exec", "tools-1", "--", "sh", "-c", INSTALL]);
    // Tables are made as by a migration, whose role is not the application's.
    let made = site.pgbench("shop_migrate", "bascule/postgres/migrate/shop", "--initialize --scale 10");
    assert!(made.contains("done in"), "{made}");
    // One that prepares a statement waits for the answer with its whole thread: of two clients of a thread, one would wait for a
    // connection that the other keeps.
    for (protocol, threads) in [("simple", 4), ("prepared", 500)] {
        let options = format!("--client 500 --jobs {threads} --time 30 --no-vacuum --protocol {protocol}");
        let told = site.pgbench("tools", "bascule/postgres/user/tools", &options);
        println!("postgres: pgbench: {told}");
        assert!(told.contains("number of failed transactions: 0 (0.000%)"), "{told}");
        assert!(!told.contains("error") && !told.contains("aborted"), "{told}");
    }
    site.is_whole_again();
}
