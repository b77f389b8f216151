//! Runs each model as a test. The library documents the models.

macro_rules! models {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            instrument_models::$name();
        }
    )*};
}

models! {
    thread_leases
    shared_shard
    list_of_ends
    trie_of_values
    gauge_order
    histogram_carry
    histogram_carry_of_two
    oldest_order
    oldest_handover
    oldest_shared
    oldest_growth
}
