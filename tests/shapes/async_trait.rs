//! Methods with the real `#[async_trait]`, which turns them into functions that return a
//! boxed future. The attribute is on the method, below `#[async_trait]`, or on the whole
//! block, above it.

use std::fmt::Display;
use std::rc::Rc;

use ::async_trait::async_trait;

use super::{error, instrumented, ok, work};

#[async_trait]
trait Store: Send + Sync {
    async fn get(&self, key: &str) -> Option<String>;
    async fn put<'a>(&'a mut self, key: &'a str, value: String)
    -> Result<&'a str, std::fmt::Error>;
    async fn show<T: Display + Send>(&self, value: T) -> String
    where
        Self: Sized;

    #[instrumented]
    async fn by_default(&self, key: &str) -> usize {
        work().await;
        key.len()
    }
}

#[derive(Default)]
struct Memory(Vec<(String, String)>);

#[async_trait]
impl Store for Memory {
    #[instrumented]
    async fn get(&self, key: &str) -> Option<String> {
        work().await;
        let found = self.0.iter().find(|(name, _)| name == key)?;
        Some(found.1.clone())
    }

    #[instrumented]
    async fn put<'a>(
        &'a mut self,
        key: &'a str,
        value: String,
    ) -> Result<&'a str, std::fmt::Error> {
        work().await;
        if key.is_empty() {
            return Err(std::fmt::Error);
        }
        self.0.push((key.to_owned(), value));
        Ok(key)
    }

    #[instrumented]
    async fn show<T: Display + Send>(&self, value: T) -> String {
        work().await;
        value.to_string()
    }
}

#[test]
fn on_the_method() {
    let mut memory = Memory::default();
    let key = ok("async_trait::put", async || {
        memory.put("k", "v".into()).await.map(str::to_owned)
    });
    assert_eq!(key.unwrap(), "k");
    error("async_trait::put", async || {
        memory.put("", String::new()).await.is_err()
    });
    let dynamic: &dyn Store = &memory;
    let found = ok("async_trait::get", async || dynamic.get("k").await);
    assert_eq!(found.unwrap(), "v");
    assert_eq!(ok("async_trait::show", async || memory.show(1).await), "1");
    assert_eq!(
        ok("async_trait::by_default", async || {
            dynamic.by_default("four").await
        }),
        4
    );
}

struct Above;

#[instrumented]
#[async_trait]
impl Store for Above {
    async fn get(&self, key: &str) -> Option<String> {
        work().await;
        Some(key.to_owned())
    }

    #[instrumented(endpoint = "put", labels(key = key))]
    async fn put<'a>(
        &'a mut self,
        key: &'a str,
        _value: String,
    ) -> Result<&'a str, std::fmt::Error> {
        work().await;
        Ok(key)
    }

    #[instrumented(skip)]
    async fn show<T: Display + Send>(&self, value: T) -> String {
        work().await;
        value.to_string()
    }
}

struct Below;

#[async_trait]
#[instrumented]
impl Store for Below {
    async fn get(&self, key: &str) -> Option<String> {
        work().await;
        Some(key.to_owned())
    }

    async fn put<'a>(
        &'a mut self,
        key: &'a str,
        _value: String,
    ) -> Result<&'a str, std::fmt::Error> {
        work().await;
        Ok(key)
    }

    async fn show<T: Display + Send>(&self, value: T) -> String {
        work().await;
        value.to_string()
    }
}

#[test]
fn on_the_block() {
    let found = ok("async_trait::Above::get", async || Above.get("a").await);
    assert_eq!(found.unwrap(), "a");
    let put = ok("put key=k", async || {
        Above.put("k", String::new()).await.map(str::to_owned)
    });
    assert_eq!(put.unwrap(), "k");
    let shown = ok("async_trait::Below::show", async || Below.show(2).await);
    assert_eq!(shown, "2");
    let put = ok("async_trait::Below::put", async || {
        Below.put("k", String::new()).await.map(str::to_owned)
    });
    assert_eq!(put.unwrap(), "k");
}

#[async_trait(?Send)]
trait Local<T> {
    async fn run(self: Rc<Self>, value: T) -> T;
    async fn dropped(self, value: T)
    where
        Self: Sized;
}

struct Wrapper<T>(Rc<T>);

#[async_trait(?Send)]
impl<T: Clone + 'static> Local<T> for Wrapper<T> {
    #[instrumented]
    async fn run(self: Rc<Self>, value: T) -> T {
        let kept = Rc::clone(&self.0);
        work().await;
        drop(value);
        T::clone(&kept)
    }

    #[instrumented]
    async fn dropped(self, _: T) {
        work().await;
    }
}

#[test]
fn without_send() {
    let wrapper = Rc::new(Wrapper(Rc::new(1)));
    assert_eq!(ok("async_trait::run", async || wrapper.run(2).await), 1);
    ok("async_trait::dropped", async || {
        Wrapper(Rc::new(1)).dropped(3).await;
    });
}
