use instrument_runtime::instrumented;

macro_rules! handlers {
    ($($name:ident $arguments:tt $body:block)*) => {
        $(
            #[instrumented]
            async fn $name $arguments $body
        )*
    };
}

handlers! {
    one_line(text: String) { drop(text) }
    unused(text: String) { let other = 1; }
}

fn main() {
    drop((one_line(String::new()), unused(String::new())));
}
