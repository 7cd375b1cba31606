use bascule_world::play;

/// Every scenario beside its golden file: a role is reviewed by reading the difference.
#[test]
fn the_scenarios_go_as_they_are_written_down() {
    insta::glob!("../scenarios", "*.txt", |path| {
        let scenario = std::fs::read_to_string(path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        insta::assert_snapshot!(runtime.block_on(play(&scenario)));
    });
}
