//! A few threads that share the numbered tasks of one kernel at a time.
//!
//! A kernel's work is cut into tasks by the problem's shape alone, never by the number of threads, and every task
//! writes a place of its own; so the result does not depend on who ran what. With one thread nothing is spawned and
//! [`Workers::run`] is a plain loop. Threads are kept between kernels because a training step has some sixty of them,
//! each a fraction of a millisecond: a worker spins for a moment for the next one before it sleeps.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Turns of a waiting loop before its thread sleeps: about a tenth of a millisecond, which an interpreter spends in a few.
const SPINS: usize = if cfg!(miri) { 8 } else { 2_000 };

/// The function that the tasks of the open job call with their number.
#[derive(Clone, Copy)]
struct Job(*const (dyn Fn(usize) + Sync), usize);

// SAFETY: the pointer is to a `Sync` closure, which may be called from any thread; `run` ends only when no worker can see it
// any more, so it is alive wherever it is called.
unsafe impl Send for Job {}

#[derive(Default)]
struct State {
    /// The job that workers may join; none between jobs.
    job: Option<Job>,
    /// What a worker's task panicked with.
    panic: Option<Box<dyn std::any::Any + Send>>,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    start: Condvar,
    done: Condvar,
    /// Workers that have joined the job and not left; changes under the lock only.
    inside: AtomicUsize,
    /// Counts jobs, so that a worker can spin without the lock.
    epoch: AtomicUsize,
    /// The next task of the open job.
    next: AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes tasks until none is left.
    fn work(&self, job: Job) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= job.1 {
                return;
            }
            // SAFETY: whoever calls this has joined an open job or is in `run` itself, and `run`, which borrows the closure,
            // waits until all who joined have left; so the closure is alive.
            unsafe { (*job.0)(i) };
        }
    }

    /// What tells these workers from others.
    fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn worker(&self) {
        let _within = Within::enter(self);
        let mut seen = 0;
        loop {
            let mut spins = 0;
            while self.epoch.load(Ordering::Acquire) == seen && spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            }
            let mut state = self.lock();
            while self.epoch.load(Ordering::Acquire) == seen && !state.stop {
                state = self
                    .start
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
            seen = self.epoch.load(Ordering::Acquire);
            let Some(job) = state.job else { continue };
            self.inside.fetch_add(1, Ordering::AcqRel);
            drop(state);
            let result = catch_unwind(AssertUnwindSafe(|| self.work(job)));
            let mut state = self.lock();
            if let Err(panic) = result {
                state.panic = Some(panic);
            }
            if self.inside.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.done.notify_all();
            }
        }
    }
}

thread_local! {
    /// The workers in whose jobs this thread is, the outermost first.
    static WITHIN: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, the thread is in a job of some workers. Given back in the reverse order, also when a task panics.
struct Within;

impl Within {
    fn enter(shared: &Shared) -> Self {
        let identity = shared.identity();
        WITHIN.with_borrow_mut(|within| {
            assert!(
                !within.contains(&identity),
                "a task may not give its own workers another job: they have one at a time"
            );
            within.push(identity);
        });
        Self
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        WITHIN.with_borrow_mut(Vec::pop);
    }
}

/// Threads for the kernels: see the module's head.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// One job at a time.
    turn: Mutex<()>,
}

impl Workers {
    /// Workers for `threads` threads in all, the caller's included; 0 counts as 1.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        // A thread that cannot be had is done without: the caller takes all tasks that no worker takes.
        let threads = (1..threads)
            .filter_map(|i| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("kernel-{i}"))
                    .spawn(move || shared.worker())
                    .ok()
            })
            .collect();
        Self {
            shared,
            threads,
            turn: Mutex::new(()),
        }
    }

    /// Threads that take part, the caller's included.
    #[must_use]
    pub(crate) fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `task(0)`, … `task(count - 1)`, each once, on any thread, and returns when all are done. Several threads may
    /// ask at once: their jobs take turns.
    ///
    /// # Panics
    /// If it is called by one of these workers' own tasks, which would wait for itself. Passes on the panic of a task.
    pub(crate) fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let _within = Within::enter(&self.shared);
        if self.threads.is_empty() || count <= 1 {
            for i in 0..count {
                task(i);
            }
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only the lifetime changes. Before `run` returns, by a panic too, the job is closed, so that nobody joins, and
        // all who joined have left (`inside` is 0): nobody has the reference any more.
        let task: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        let job = Job(task, count);
        {
            let mut state = self.shared.lock();
            self.shared.next.store(0, Ordering::Relaxed);
            state.job = Some(job);
            self.shared.epoch.fetch_add(1, Ordering::Release);
        }
        self.shared.start.notify_all();
        let own = catch_unwind(AssertUnwindSafe(|| self.shared.work(job)));
        self.shared.lock().job = None;
        let inside = || self.shared.inside.load(Ordering::Acquire) > 0;
        let mut spins = 0;
        while inside() && spins < SPINS {
            spins += 1;
            std::hint::spin_loop();
        }
        let mut state = self.shared.lock();
        while inside() {
            state = self
                .shared
                .done
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let panic = state.panic.take();
        drop(state);
        if let Some(panic) = own.err().or(panic) {
            resume_unwind(panic);
        }
    }

    /// One task for each of these parts, which it has to itself: its number and the part.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub(crate) fn each<T: Send>(
        &self,
        parts: impl Iterator<Item = T>,
        task: impl Fn(usize, T) + Sync,
    ) {
        let parts: Vec<_> = parts.map(|part| Mutex::new(Some(part))).collect();
        self.run(parts.len(), &|i| {
            if let Some(part) = lock(&parts[i]).take() {
                task(i, part);
            }
        });
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.epoch.fetch_add(1, Ordering::Release);
        self.shared.start.notify_all();
        for thread in self.threads.drain(..) {
            // A worker catches its tasks' panics, so it ends well.
            let _ = thread.join();
        }
    }
}

/// Locks what tasks share or own one by one: a task that panicked passes its panic on, and what it left is overwritten.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A buffer that several tasks write at disjoint places.
#[derive(Clone, Copy)]
pub(crate) struct Shareable(*mut f32);

// SAFETY: it is a plain address, of which sending is harmless. Using it is unsafe (`at`, `slice`), and whoever does so argues
// there that tasks write disjoint ranges and read nothing that another task of the same job writes.
unsafe impl Send for Shareable {}
// SAFETY: it is a plain address without interior state, which threads may read together; using what it points to is unsafe
// and argued where it is done.
unsafe impl Sync for Shareable {}

impl Shareable {
    pub(crate) fn new(slice: &mut [f32]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// The buffer that begins here.
    pub(crate) fn of(start: *mut f32) -> Self {
        Self(start)
    }

    /// A buffer that the tasks only read.
    pub(crate) fn reading(start: *const f32) -> Self {
        Self(start.cast_mut())
    }

    /// The address of element `offset`.
    ///
    /// # Safety
    /// `offset` is at most the buffer's length.
    #[inline(always)]
    pub(crate) unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: by contract the offset is at most the buffer's length, so the address is inside it or at its end.
        unsafe { self.0.add(offset) }
    }
}

impl Shareable {
    /// `len` floats from element `offset` on.
    ///
    /// # Safety
    /// The buffer has them and outlives `'a`, and while the reference is used nobody else touches them.
    #[inline(always)]
    pub(crate) unsafe fn slice<'a>(self, offset: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: by contract the buffer has these elements, which are initialised floats, and they are the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(offset), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::Workers;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let workers = Workers::new(threads);
            for count in [0, 1, 2, 7, if cfg!(miri) { 20 } else { 100 }] {
                let hits: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                workers.run(count, &|i| {
                    hits[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    hits.iter().all(|h| h.load(Ordering::Relaxed) == 1),
                    "{threads} threads, {count} tasks"
                );
            }
        }
    }

    /// Whatever the number of threads and tasks, and whoever runs the task; the workers stay usable.
    #[test]
    fn a_task_cannot_give_its_own_workers_a_job() {
        let cases = [(1, 2), (2, 1), (2, 3), (4, 8), (2, 8)];
        // A panic takes an interpreter seconds.
        for (threads, count) in cases.into_iter().take(if cfg!(miri) { 3 } else { 5 }) {
            let (workers, others) = (Workers::new(threads), Workers::new(threads));
            let refused = AtomicUsize::new(0);
            workers.run(count, &|_| {
                others.run(2, &|_| ());
                let again = std::panic::AssertUnwindSafe(|| workers.run(2, &|_| ()));
                let panic = std::panic::catch_unwind(again).expect_err("refused");
                let message = panic.downcast_ref::<&str>().expect("a message");
                assert!(message.contains("its own workers another job"), "{message}");
                refused.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(refused.load(Ordering::Relaxed), count, "{threads} threads");
            workers.run(count, &|_| ());
        }
    }

    #[test]
    fn a_panic_is_passed_on_and_the_workers_stay_usable() {
        let workers = Workers::new(3);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            workers.run(20, &|i| assert!(i != 13, "thirteen"));
        }));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        workers.run(10, &|i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 45);
    }
}
