//! An append-only linked list that is read without a lock.

use crate::lock_free::sync::OnceLock;

/// Maps keys to values. Meant for few keys, where a linear search is fastest.
///
/// ```text
/// List ──> (ok, …) ──> (error, …) ──> (empty)
/// ```
///
/// A node is a [`OnceLock`]: it is set once and never changes, so a reader sees either
/// the complete node or an empty one. Threads that add keys concurrently race to set
/// the empty node at the end of the list.
#[derive(Debug)]
pub(crate) struct List<K, V>(OnceLock<Box<Node<K, V>>>);

#[derive(Debug)]
struct Node<K, V> {
    key: K,
    value: V,
    next: List<K, V>,
}

impl<K, V> Default for List<K, V> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<K: PartialEq, V> List<K, V> {
    /// Returns the value of `key`.
    #[inline(always)]
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let mut list = self;
        while let Some(node) = list.0.get() {
            if node.key == *key {
                return Some(&node.value);
            }
            list = &node.next;
        }
        None
    }

    /// Returns the first value whose key fits.
    pub(crate) fn find(&self, fits: impl Fn(&K) -> bool) -> Option<&V> {
        let mut list = self;
        while let Some(node) = list.0.get() {
            if fits(&node.key) {
                return Some(&node.value);
            }
            list = &node.next;
        }
        None
    }

    /// Adds `value` under `key`. Does nothing if the key already has a value.
    #[cold]
    pub(crate) fn add(&self, key: K, value: V) {
        let mut list = self;
        let mut fresh = Box::new(Node {
            key,
            value,
            next: Self::default(),
        });
        // The node is taken, perhaps by a thread that won a race: try the next one.
        while let Err(lost) = list.0.set(fresh) {
            match list.0.get() {
                Some(node) if node.key != lost.key => list = &node.next,
                _ => return,
            }
            fresh = lost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_first_value() {
        let list = List::default();
        assert_eq!(list.get(&1), None);
        for (key, value) in [(1, "a"), (2, "b"), (1, "c")] {
            list.add(key, value);
        }
        assert_eq!(
            [1, 2, 3].map(|key| list.get(&key)),
            [Some(&"a"), Some(&"b"), None]
        );
    }
}
