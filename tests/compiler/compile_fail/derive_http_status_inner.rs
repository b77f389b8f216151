use instrument_runtime::HttpStatus;

#[derive(HttpStatus)]
enum AsksANumber {
    #[http_status(transparent)]
    One(u8),
}

fn main() {
    println!("{}", AsksANumber::One(3).http_status());
}
