//! Models of the append-only collections that call sites keep series in: the list of
//! outcomes and the trie of label values.

use std::sync::Arc;

use crate::lock_free::list::List;
use crate::lock_free::sync::{model, spawn};
use crate::lock_free::trie::Trie;

/// Two threads add the same two keys in a different order. A concurrent reader sees
/// either a value of the key or none, and finds both keys afterwards.
pub fn list_of_ends() {
    model(3, || {
        let list = Arc::new(List::default());
        let add = |keys: [(u32, &'static str); 2]| {
            let list = Arc::clone(&list);
            spawn(move || {
                for (key, value) in keys {
                    list.add(key, value);
                    assert_value(key, list.get(&key).copied());
                }
            })
        };
        let threads = [add([(1, "1 a"), (2, "2 a")]), add([(2, "2 b"), (1, "1 b")])];
        for key in [2, 1] {
            if let Some(value) = list.get(&key) {
                assert_value(key, Some(value));
            }
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
        for key in [1, 2] {
            assert_value(key, list.get(&key).copied());
        }
        assert_eq!(list.get(&3), None);
    });
}

fn assert_value(key: u32, value: Option<&str>) {
    let value = value.unwrap_or("none");
    assert!(value.starts_with(&key.to_string()), "{key} has {value}");
}

/// Two threads add the same two keys, which have the same hash, in a different order.
/// Both threads get the same value for a key, and the trie holds each key once.
pub fn trie_of_values() {
    model(2, || {
        let trie = Arc::new(Trie::default());
        let add = |keys: [(u32, &'static str); 2]| {
            let trie = Arc::clone(&trie);
            spawn(move || {
                keys.map(|(key, value)| {
                    let kept = trie.add(7, key, value).copied();
                    assert_eq!(trie.get(7, &key).copied(), kept);
                    kept
                })
            })
        };
        let one = add([(1, "1 a"), (2, "2 a")]);
        let other = add([(2, "2 b"), (1, "1 b")]);
        for key in [2, 1] {
            if let Some(value) = trie.get(7, &key) {
                assert_value(key, Some(value));
            }
        }
        let [first, second] = one.join().expect("no panic");
        let [second_again, first_again] = other.join().expect("no panic");
        assert_eq!((first, second), (first_again, second_again));
        assert_value(1, first);
        assert_value(2, second);
        assert_eq!(trie.get(7, &1).copied(), first);
        assert_eq!(trie.get(7, &2).copied(), second);
        assert_eq!(trie.len(), 2);
    });
}
