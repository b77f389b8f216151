//! Loom's types, under the names in the runtime's `lock_free::sync`.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::Ordering;
pub(crate) use loom::sync::{Mutex, MutexGuard};
use loom::thread::{self, JoinHandle, ThreadId};

/// Runs a model in all interleavings with at most `preemptions` preemptions.
pub(crate) fn model(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let run = Arc::clone(&runs);
    builder.check(move || {
        run.fetch_add(1, Ordering::Relaxed);
        LOCALS.take();
        model();
        end_thread();
    });
    println!("{} runs", runs.load(Ordering::Relaxed));
}

/// Starts a thread. Its thread-locals are destroyed before `join` returns, like the
/// standard library's. Loom destroys its own thread-locals later.
pub(crate) fn spawn<T: 'static>(run: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    thread::spawn(|| {
        let value = run();
        end_thread();
        value
    })
}

/// Loom's atomics, each with a second atomic that every access modifies.
///
/// To select the interleavings to explore, loom remembers only the last access to each
/// object. A thread that loads before it stores hides earlier loads of other threads, so
/// loom never explores the interleavings in which those loads see the store. A
/// modification does not hide accesses. The modifications are relaxed, so they do not
/// order anything between threads.
macro_rules! atomics {
    ($($name:ident: $value:ty),*) => {$(
        #[derive(Debug)]
        pub(crate) struct $name {
            value: atomic::$name,
            accesses: atomic::AtomicUsize,
        }

        #[allow(dead_code, reason = "not every atomic uses every method")]
        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self {
                    value: atomic::$name::new(value),
                    accesses: atomic::AtomicUsize::new(0),
                }
            }

            fn access(&self) -> &atomic::$name {
                self.accesses.fetch_add(1, Ordering::Relaxed);
                &self.value
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.access().load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.access().store(value, order);
            }
        }
    )*};
}

atomics!(AtomicBool: bool, AtomicU64: u64, AtomicUsize: usize);

impl AtomicU64 {
    pub(crate) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.access()
            .compare_exchange(current, new, success, failure)
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.access().fetch_add(value, order)
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.access().swap(value, order)
    }
}

impl AtomicUsize {
    pub(crate) fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        self.access().fetch_add(value, order)
    }
}

/// A `std::sync::OnceLock` for loom, which does not provide one. Loom explores the flag
/// and the lock; the standard library's type holds the value.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    is_set: AtomicBool,
    setting: Mutex<()>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: std::sync::OnceLock::new(),
            is_set: AtomicBool::new(false),
            setting: Mutex::new(()),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        let is_set = self.is_set.load(Ordering::Acquire);
        is_set.then(|| self.value.get()).flatten()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let _setting = self.setting.lock().expect("no panic");
        self.value.set(value)?;
        self.is_set.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let _setting = self.setting.lock().expect("no panic");
        let value = self.value.get_or_init(init);
        self.is_set.store(true, Ordering::Release);
        value
    }
}

/// Declares a static that every run of a model initializes again.
macro_rules! global {
    (static $name:ident: $type:ty = $value:expr;) => {
        loom::lazy_static! {
            static ref $name: $type = $value;
        }
    };
}

pub(crate) use global;

/// The thread-locals of all threads of a run. Loom runs these threads on one thread of
/// the operating system.
type Locals = HashMap<(ThreadId, usize), Local>;

struct Local {
    /// `None` once the thread-local is destroyed.
    value: Option<Rc<dyn Any>>,
    needs_drop: bool,
    /// Rises in the order of first use.
    number: usize,
}

std::thread_local! {
    static LOCALS: RefCell<Locals> = RefCell::default();
}

/// `std::thread::LocalKey`, over [`LOCALS`].
pub(crate) struct LocalKey<T: 'static> {
    pub(crate) init: fn() -> T,
    /// Makes the type non-zero-sized, so that each key has a distinct address.
    pub(crate) _id: u8,
}

#[derive(Debug)]
pub(crate) struct AccessError;

impl<T: 'static> LocalKey<T> {
    pub(crate) fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.try_with(f).expect("the thread-local is destroyed")
    }

    pub(crate) fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let key = (thread::current().id(), std::ptr::from_ref(self).addr());
        let known = LOCALS.with_borrow(|all| all.get(&key).map(|local| local.value.clone()));
        let value = match known {
            Some(known) => known.ok_or(AccessError)?,
            None => {
                let value: Rc<dyn Any> = Rc::new((self.init)());
                LOCALS.with_borrow_mut(|all| {
                    let number = all.len();
                    let local = Local {
                        value: Some(Rc::clone(&value)),
                        needs_drop: std::mem::needs_drop::<T>(),
                        number,
                    };
                    all.insert(key, local);
                });
                value
            }
        };
        Ok(f(value.downcast_ref().expect("of this type")))
    }
}

/// Destroys the thread-locals of this thread, in the order of their first use. Keeps
/// those without a destructor, as every platform with native thread-locals does.
fn end_thread() {
    let id = thread::current().id();
    loop {
        let next = LOCALS.with_borrow_mut(|all| {
            all.iter_mut()
                .filter(|((of, _), local)| *of == id && local.needs_drop && local.value.is_some())
                .min_by_key(|(_, local)| local.number)
                .and_then(|(_, local)| local.value.take())
        });
        match next {
            Some(value) => drop(value),
            None => return,
        }
    }
}
