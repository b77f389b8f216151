//! A hash map that only grows and is read without a lock.

use crate::lock_free::sync::{AtomicUsize, OnceLock, Ordering};

/// Values by their keys: a trie over the bits of the key's hash.
///
/// ```text
///          root: key 1
///         /     |     \        the hash's first 4 bits
///   key 2     key 4    (empty)
///     |                        its next 4 bits
///   key 3
/// ```
///
/// A key is at the first node on its hash's path that was empty when it was added.
/// A node is set once and never changed, so a reader sees a node whole or not at
/// all. Threads that add at the same time race for the same empty node.
#[derive(Debug)]
pub(crate) struct Trie<K, V> {
    len: AtomicUsize,
    root: Node<K, V>,
}

#[derive(Debug)]
struct Node<K, V> {
    entry: OnceLock<Box<Entry<K, V>>>,
    children: OnceLock<Box<[Node<K, V>; 1 << BITS]>>,
}

/// The bits of the hash that choose a child.
const BITS: u32 = 4;

#[derive(Debug)]
struct Entry<K, V> {
    hash: u64,
    key: K,
    value: V,
}

impl<K, V> Default for Trie<K, V> {
    fn default() -> Self {
        Self {
            len: AtomicUsize::new(0),
            root: Node::default(),
        }
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self {
            entry: OnceLock::new(),
            children: OnceLock::new(),
        }
    }
}

impl<K, V> Node<K, V> {
    #[cold]
    fn children(&self) -> &[Self; 1 << BITS] {
        self.children.get_or_init(Box::default)
    }
}

/// The child on the path of a hash, and the hash for the level below.
fn branch(hash: u64) -> (usize, u64) {
    let child = hash as usize & ((1 << BITS) - 1);
    (child, hash.rotate_right(BITS))
}

impl<K: PartialEq, V> Entry<K, V> {
    fn is_of(&self, hash: u64, key: &K) -> bool {
        self.hash == hash && self.key == *key
    }
}

impl<K: PartialEq, V> Trie<K, V> {
    /// The number of keys. A key that another thread is adding may be missing.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn get(&self, hash: u64, key: &K) -> Option<&V> {
        let (mut node, mut rest) = (&self.root, hash);
        while let Some(entry) = node.entry.get() {
            if entry.is_of(hash, key) {
                return Some(&entry.value);
            }
            let child;
            (child, rest) = branch(rest);
            node = &node.children.get()?[child];
        }
        None
    }

    /// Adds a value, unless the key has one already. Returns the key's value.
    #[cold]
    pub(crate) fn add(&self, hash: u64, key: K, value: V) -> Option<&V> {
        let (mut node, mut rest) = (&self.root, hash);
        let mut fresh = Box::new(Entry { hash, key, value });
        // The loser of a race for a node goes on below it.
        while let Err(lost) = node.entry.set(fresh) {
            let found = node.entry.get()?;
            if found.is_of(hash, &lost.key) {
                return Some(&found.value);
            }
            let child;
            (child, rest) = branch(rest);
            node = &node.children()[child];
            fresh = lost;
        }
        self.len.fetch_add(1, Ordering::Relaxed);
        Some(&node.entry.get()?.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_the_same_hash_keep_apart() {
        let trie = Trie::default();
        assert_eq!(trie.get(7, &"a"), None);
        for (key, value) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
            trie.add(7, key, value);
        }
        assert_eq!(
            ["a", "b", "c", "d"].map(|key| trie.get(7, &key)),
            [Some(&1), Some(&2), Some(&4), None]
        );
        assert_eq!(trie.len(), 3);
    }
}
