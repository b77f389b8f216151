//! The bound on open connections: a new one takes the place of the oldest that
//! has nothing to answer, so that a plain scrape gets through whoever else
//! holds connections open.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

/// More than any number of scrapers needs.
pub(crate) const MAX_CONNECTIONS: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Connections(RefCell<Vec<Rc<Connection>>>);

#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Requests being answered.
    busy: Cell<usize>,
    closed: Notify,
}

impl Connections {
    /// Registers a new connection, closing another where there are too many.
    pub(crate) fn open(&self) -> Rc<Connection> {
        if self.0.borrow().len() >= MAX_CONNECTIONS {
            self.close_one();
        }
        let connection = Rc::new(Connection::default());
        self.0.borrow_mut().push(Rc::clone(&connection));
        connection
    }

    pub(crate) fn remove(&self, connection: &Rc<Connection>) {
        self.0
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, connection));
    }

    /// Closes the oldest idle connection; the oldest of all where none is idle.
    pub(crate) fn close_one(&self) {
        let mut all = self.0.borrow_mut();
        if all.is_empty() {
            return;
        }
        let oldest_idle = all.iter().position(|other| other.busy.get() == 0);
        all.remove(oldest_idle.unwrap_or(0)).closed.notify_one();
    }
}

impl Connection {
    /// Resolves when this connection is to make room.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Marks a request as being answered until the guard goes.
    pub(crate) fn busy(self: &Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        Busy(Rc::clone(self))
    }
}

pub(crate) struct Busy(Rc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_idle_connection_makes_room() {
        let connections = Connections::default();
        let all: Vec<_> = (0..MAX_CONNECTIONS).map(|_| connections.open()).collect();
        let _busy = all[0].busy();
        connections.open();
        let left = connections.0.borrow();
        assert_eq!(left.len(), MAX_CONNECTIONS);
        assert!(left.iter().any(|other| Rc::ptr_eq(other, &all[0])));
        assert!(!left.iter().any(|other| Rc::ptr_eq(other, &all[1])));
    }
}
