use instrument_runtime::instrumented;

#[instrumented]
async fn block(number: u8) -> u8 {
    if number == 1 {
        return {
            let sum = number + 1;
            sum * 2
        };
    }
    if number == 2 {
        return loop {
            if number > 1 {
                break number;
            }
        };
    }
    return {
        drop(number);
        3
    };
}

#[instrumented]
async fn unit(numbers: Vec<u8>) {
    if numbers.is_empty() {
        return while numbers.len() > 1 {};
    }
    return for number in numbers {
        drop(number);
    };
}

#[instrumented]
async fn labelled(number: u8) -> u8 {
    if number == 3 {
        return 'outer: {
            if number > 2 {
                break 'outer number;
            }
            0
        };
    }
    return (number);
}

fn main() {
    drop((block(1), unit(Vec::new()), labelled(1)));
}
