use instrument_runtime::HttpStatus;

#[derive(HttpStatus)]
struct Silent;

#[derive(HttpStatus)]
enum Gaps {
    #[http_status(404)]
    Missing,
    Other,
}

#[derive(HttpStatus)]
#[http_status(99)]
struct TooSmall;

#[derive(HttpStatus)]
#[http_status(600)]
struct TooBig;

#[derive(HttpStatus)]
#[http_status(NOT_FUOND)]
struct Misspelt;

#[derive(HttpStatus)]
#[http_status("404")]
struct Text;

#[derive(HttpStatus)]
#[http_status()]
struct Empty;

#[derive(HttpStatus)]
#[http_status]
struct Bare;

#[derive(HttpStatus)]
#[http_status(404, 500)]
struct Two;

#[derive(HttpStatus)]
#[http_status(404)]
#[http_status(500)]
struct TwoAttributes;

#[derive(HttpStatus)]
#[http_status(transparent)]
struct NoField;

#[derive(HttpStatus)]
#[http_status(transparent)]
struct TwoFields(u8, u8);

#[derive(HttpStatus)]
#[http_status(transparent)]
enum Transparent {
    One(u8),
}

#[derive(HttpStatus)]
#[http_status(500)]
enum AboveAField {
    Payment(#[http_status(transparent)] u8),
}

#[derive(HttpStatus)]
enum CrateAboveAVariant {
    #[http_status(404, crate = instrument_runtime)]
    One,
}

#[derive(HttpStatus)]
#[http_status(404, crate = instrument_runtime, crate = instrument_runtime)]
struct TwoCrates;

#[derive(HttpStatus)]
union Either {
    one: u8,
    other: i8,
}

fn status(value: &impl HttpStatus) -> u16 {
    value.http_status()
}

// There is no further error about a missing implementation.
fn main() {
    status(&Silent);
    status(&Gaps::Missing);
    status(&Gaps::Other);
    status(&Transparent::One(1));
    status(&TwoFields(1, 2));
}
