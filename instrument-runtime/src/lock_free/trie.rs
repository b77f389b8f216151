//! An append-only hash map that is read without a lock.

use crate::lock_free::sync::{AtomicUsize, OnceLock, Ordering};

/// Maps keys to values: a 16-way trie over the hexadecimal digits of the key's hash,
/// the last digit first.
///
/// A key is stored in the first node on its hash's path that was empty when the key
/// was added. For example, four keys, added in this order:
///
/// ```text
/// key    a      b      c      d
/// hash   …3c    …72    …81    …52
///
/// root                [ a ]               the first key
///                       │
///           ┌───────┬───┴───┬── ┈ ──┐
/// child    0:    1:[ c ] 2:[ b ]   f:     selected by the last digit
///                           │
///                   ┌── ┈ ──┼── ┈ ──┐
/// child            0:    5:[ d ]   f:     selected by the digit before that
/// ```
///
/// To find `d`, a reader compares it with `a`, follows digit `2`, compares it with `b`,
/// follows digit `5` and finds it. The search ends without a result at an empty node.
///
/// A node has two parts, each a [`OnceLock`] that is set once and never changes: the
/// entry, and the array of its 16 children, which is allocated when a second key
/// reaches the node. A reader therefore never sees an incomplete part, and a `&V` stays
/// valid for as long as the trie exists. Threads that add keys concurrently race to set
/// the same empty node, and the losers continue below it.
///
/// The digits repeat after 16 levels, so keys with the same hash share one path and
/// form a chain on it.
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

/// The number of hash bits that select a child: one hexadecimal digit.
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

/// Returns the index of the child on the path of `hash`, and the hash to use one level
/// below.
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
    /// Returns the number of keys. May not yet include a key that another thread is
    /// adding.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns the value of `key`, whose hash is `hash`.
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

    /// Adds `value` under `key`, unless the key already has a value. Returns the value
    /// that the key has afterwards, which is always `Some`.
    #[cold]
    pub(crate) fn add(&self, hash: u64, key: K, value: V) -> Option<&V> {
        let (mut node, mut rest) = (&self.root, hash);
        let mut fresh = Box::new(Entry { hash, key, value });
        // The node is taken, perhaps by a thread that won a race: continue below it.
        while let Err(lost) = node.entry.set(fresh) {
            // `set` failed, so the entry is there: `?` only avoids a panicking path.
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
