use instrument_runtime::instrumented;

async fn pause() {}

struct Transaction {
    is_open: bool,
    statements: u32,
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.is_open {
            println!("rolled back after {}", self.statements);
        }
    }
}

impl Transaction {
    #[instrumented]
    async fn commit(mut self, early: bool) -> Result<(), ()> {
        let unused = 1;
        if early {
            self.is_open = false;
            return Ok(());
        }
        self.flush().await?;
        self.is_open = false;
        Ok(())
    }

    #[instrumented]
    async fn flush(&mut self) -> Result<(), ()> {
        let mut again = self.statements;
        again = 0;
        pause().await;
        Ok(())
    }

    #[instrumented]
    async fn forget(mut self) { self.is_open = false; }
}

#[instrumented]
async fn count(mut transaction: Transaction, statements: &[u32]) {
    for statement in statements {
        transaction.statements += statement;
    }
}

fn main() {
    let open = || Transaction { is_open: true, statements: 0 };
    drop((open().commit(true), open().forget(), count(open(), &[])));
}
