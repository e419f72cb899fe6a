//! Tasks that need each other, on several threads.
//!
//! A task starts once what it is known to need is done. It can turn out on the way to need more
//! ([`Schedule::ensure`]): then it makes that itself, or waits for the thread that does. Waiting in
//! a circle is an error, not a standstill.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The main thread's on Linux: nothing should depend on which thread a stage is built by.
const STACK_BYTES: usize = 8 << 20;

/// A task's number.
pub(crate) type Task = usize;

#[derive(Debug)]
enum Cell<T> {
    Ahead,
    Running,
    Done(T),
    Failed,
}

/// Why a task that another one needs cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// It needs, itself or by others, the one that asks for it.
    Cycle,
    /// It failed, or was stopped.
    Failed,
}

/// Tasks and their results.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    table: Mutex<Table<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Table<T> {
    cells: Vec<Cell<T>>,
    /// Who waits for whom, or makes whom in its own time.
    waits: BTreeMap<Task, Task>,
    stopped: bool,
}

impl<T: Clone + Send> Schedule<T> {
    /// Tasks numbered below `count`.
    pub(crate) fn new(count: usize) -> Self {
        let cells = std::iter::repeat_with(|| Cell::Ahead).take(count).collect();
        let table = Table { cells, waits: BTreeMap::new(), stopped: false };
        Self { table: Mutex::new(table), changed: Condvar::new() }
    }

    /// Does the tasks of `order`, which lists each after those it `needs`. After the first error no
    /// further task starts; it is returned when all that run have ended.
    pub(crate) fn run<E: Send>(
        &self,
        order: &[Task],
        needs: impl Fn(Task) -> Vec<Task> + Sync,
        threads: NonZeroUsize,
        make: impl Fn(Task) -> Result<T, E> + Sync,
    ) -> Result<(), E> {
        let errors = Mutex::new(Vec::new());
        let work = || {
            while let Some(task) = self.next(order, &needs) {
                if let Err(error) = self.make(task, || make(task)) {
                    self.table().stopped = true;
                    lock(&errors).push(error);
                    self.changed.notify_all();
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads.get().min(order.len()) {
                // Too few threads only make it slower.
                let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
            }
            work();
        });
        let first = errors.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().next();
        first.map_or(Ok(()), Err)
    }

    /// The result of a task that is done.
    pub(crate) fn get(&self, task: Task) -> Option<T> {
        match &self.table().cells[task] {
            Cell::Done(result) => Some(result.clone()),
            _ => None,
        }
    }

    /// The result of `task`, which the running task `by` needs.
    pub(crate) fn ensure<E>(
        &self,
        by: Task,
        task: Task,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<T, E>, Unavailable> {
        let mut table = self.table();
        if table.leads_to(task, by) {
            return Err(Unavailable::Cycle);
        }
        table.waits.insert(by, task);
        let outcome = loop {
            match &table.cells[task] {
                Cell::Done(result) => break Ok(Ok(result.clone())),
                Cell::Failed => break Err(Unavailable::Failed),
                Cell::Running => {
                    table = self.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
                }
                Cell::Ahead => {
                    table.cells[task] = Cell::Running;
                    drop(table);
                    let made = self.make(task, make);
                    table = self.table();
                    break Ok(made);
                }
            }
        };
        table.waits.remove(&by);
        outcome
    }

    fn table(&self) -> MutexGuard<'_, Table<T>> {
        lock(&self.table)
    }

    /// Takes a task that can start; waits while there will be one; `None` if there will not.
    fn next(&self, order: &[Task], needs: &impl Fn(Task) -> Vec<Task>) -> Option<Task> {
        let mut table = self.table();
        loop {
            let is_done = |task: &Task| matches!(table.cells[*task], Cell::Done(_));
            let is_ahead = |task: &Task| matches!(table.cells[*task], Cell::Ahead);
            let can_start = |task: &Task| is_ahead(task) && needs(*task).iter().all(is_done);
            if table.stopped || !order.iter().any(is_ahead) {
                return None;
            }
            if let Some(task) = order.iter().copied().find(can_start) {
                table.cells[task] = Cell::Running;
                return Some(task);
            }
            if !table.cells.iter().any(|cell| matches!(cell, Cell::Running)) {
                return None;
            }
            table = self.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes a task that is marked as running.
    fn make<E>(&self, task: Task, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut running = Running { schedule: self, task, outcome: Cell::Failed };
        let made = make()?;
        running.outcome = Cell::Done(made.clone());
        Ok(made)
    }
}

impl<T> Table<T> {
    /// Whether `from` is, or waits for, `to`.
    fn leads_to(&self, from: Task, to: Task) -> bool {
        let mut next = Some(from);
        while let Some(task) = next {
            if task == to {
                return true;
            }
            next = self.waits.get(&task).copied();
        }
        false
    }
}

/// Nobody waits for ever for a task that panicked.
struct Running<'a, T> {
    schedule: &'a Schedule<T>,
    task: Task,
    outcome: Cell<T>,
}

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Cell::Failed);
        lock(&self.schedule.table).cells[self.task] = outcome;
        self.schedule.changed.notify_all();
    }
}

/// What the mutexes guard is consistent between statements; a panic is reported by its own thread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn threads(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    #[test]
    fn independent_tasks_run_at_the_same_time() {
        let schedule = Schedule::new(3);
        let both = Barrier::new(2);
        let needs = |task| if task == 2 { vec![0, 1] } else { Vec::new() };
        let make = |task| {
            if task < 2 {
                // Passes only if the other one has begun as well.
                both.wait();
            }
            Ok::<_, ()>(task * 10)
        };
        schedule.run(&[0, 1, 2], needs, threads(4), make).unwrap();
        assert_eq!(schedule.get(2), Some(20));
    }

    #[test]
    fn each_task_is_done_once_after_those_it_needs() {
        for number in [1, 2, 8] {
            let order: Vec<Task> = (0..50).collect();
            let done = Mutex::new(Vec::new());
            let needs =
                |task: Task| (0..task).filter(|other| task.is_multiple_of(other + 2)).collect();
            let schedule = Schedule::new(50);
            let make = |task| {
                let needed: Vec<Task> = needs(task);
                assert!(needed.iter().all(|other| lock(&done).contains(other)), "{task}");
                lock(&done).push(task);
                Ok::<_, ()>(())
            };
            schedule.run(&order, needs, threads(number), make).unwrap();
            let mut done = lock(&done).clone();
            done.sort_unstable();
            assert_eq!(done, order);
        }
    }

    #[test]
    fn after_an_error_nothing_starts() {
        let schedule = Schedule::new(3);
        let started = Mutex::new(Vec::new());
        let make = |task| {
            lock(&started).push(task);
            if task == 1 { Err("broken") } else { Ok(task) }
        };
        let needs = |task: Task| (0..task).collect();
        assert_eq!(schedule.run(&[0, 1, 2], needs, threads(2), make), Err("broken"));
        assert_eq!(*lock(&started), [0, 1]);
        assert_eq!((schedule.get(0), schedule.get(1)), (Some(0), None));
    }

    #[test]
    fn needs_that_show_late_are_met_and_cycles_of_them_found() {
        let schedule = Schedule::new(3);
        let make = |task| match task {
            0 => schedule.ensure(0, 2, || Ok::<_, ()>(7)).map(|made| made.unwrap() + 1),
            _ => schedule.ensure(1, 1, || Ok::<_, ()>(0)).map(|_| 0),
        };
        assert_eq!(schedule.run(&[0], |_| Vec::new(), threads(2), make), Ok(()));
        assert_eq!((schedule.get(0), schedule.get(2)), (Some(8), Some(7)));
        let cycle = schedule.run(&[1], |_| Vec::new(), threads(2), make);
        assert_eq!(cycle, Err(Unavailable::Cycle));
    }

    /// Two tasks that find out to need each other: whoever asks second is told.
    #[test]
    fn a_cycle_between_threads_is_no_standstill() {
        let schedule: Schedule<()> = Schedule::new(2);
        let both = Barrier::new(2);
        let make = |task: Task| {
            both.wait();
            schedule.ensure(task, 1 - task, || Ok::<_, Unavailable>(()))?
        };
        assert!(schedule.run(&[0, 1], |_| Vec::new(), threads(2), make).is_err());
    }
}
