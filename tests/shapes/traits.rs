//! `async fn` in traits, without another macro.

use std::fmt::Debug;

use super::{error, instrumented, ok, work};

trait Greet {
    const NAME: &'static str;
    type Error: Debug + Default;

    async fn greet(&self, who: &str) -> Result<String, Self::Error>;

    #[instrumented]
    async fn by_default(&self, who: &str) -> Result<String, Self::Error> {
        work().await;
        if who.is_empty() {
            return Err(Self::Error::default());
        }
        Ok(format!("{} {who}", Self::NAME))
    }

    #[instrumented]
    fn future(&self, who: &str) -> impl Future<Output = usize> + Send {
        let length = who.len();
        async move {
            work().await;
            length
        }
    }
}

struct English;

impl Greet for English {
    const NAME: &'static str = "hello";
    type Error = ();

    #[instrumented]
    async fn greet(&self, who: &str) -> Result<String, Self::Error> {
        work().await;
        Ok(format!("hello {who}"))
    }
}

struct Mute;

impl Greet for Mute {
    const NAME: &'static str = "";
    type Error = std::fmt::Error;

    #[instrumented]
    async fn greet(&self, _: &str) -> Result<String, std::fmt::Error> {
        work().await;
        Err(std::fmt::Error)
    }

    #[instrumented(endpoint = "own")]
    async fn by_default(&self, who: &str) -> Result<String, Self::Error> {
        work().await;
        Ok(who.to_owned())
    }

    #[instrumented]
    async fn future(&self, _: &str) -> usize {
        work().await;
        0
    }
}

async fn greeted<G: Greet>(greeter: &G) -> Option<String> {
    greeter.by_default("you").await.ok()
}

#[test]
fn trait_methods() {
    let greeting = ok("traits::greet", async || English.greet("you").await);
    assert_eq!(greeting.unwrap(), "hello you");
    error("traits::greet", async || Mute.greet("you").await).unwrap_err();
    let greeting = ok("traits::by_default", async || greeted(&English).await);
    assert_eq!(greeting.unwrap(), "hello you");
    error("traits::by_default", async || English.by_default("").await).unwrap_err();
    ok("own", async || greeted(&Mute).await).unwrap();
    assert_eq!(
        ok("traits::future", async || English.future("you").await),
        3
    );
    assert_eq!(ok("traits::future", async || Mute.future("you").await), 0);
}
