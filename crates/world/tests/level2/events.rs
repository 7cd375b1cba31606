use bascule_world::World;

/// Programs read what the tool says by this schema, so whatever a run says has to be in it.
#[tokio::test(start_paused = true)]
async fn every_event_of_every_verb_is_as_the_schema_says() {
    let schema = bascule_plan::event_schema().to_value();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let platform = include_str!("../scenarios/blue-green.txt").split_once("---\n").unwrap().0;
    let world = World::new(platform);
    world.make_sick(&"b".repeat(40));
    let runs = [
        world.plan().await,
        world.up().await,
        world.deploy(&"a".repeat(40)).await,
        world.deploy(&"b".repeat(40)).await,
        world.deploy(&"c".repeat(40)).await,
        world.rollback().await,
    ];
    for event in runs.iter().flat_map(|run| &run.events) {
        let event = serde_json::to_value(event).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&event).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{event}: {wrong:#?}");
    }
    assert!(runs.iter().map(|run| run.events.len()).sum::<usize>() > 200);
}
