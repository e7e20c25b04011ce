//! Work of which nobody knows how much memory it wants, on a thread with a bound. The functions of a template
//! language double a text in a step, which no count of steps prevents, and Rust ends the process where memory
//! ends. So the allocator counts what such a thread holds; at the bound the thread stops for good, in the
//! allocator, and its caller gets an error. What it held until then is lost.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const STACK_BYTES: usize = 8 << 20;
const LOOK: Duration = Duration::from_millis(20);

thread_local! {
    /// Bytes that this thread may still take; none: without a bound.
    static LEFT: Cell<Option<isize>> = const { Cell::new(None) };
    static STOPPED: Cell<*const AtomicBool> = const { Cell::new(std::ptr::null()) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn take(bytes: isize) {
    let left = LEFT.try_with(Cell::get).ok().flatten();
    let Some(left) = left.map(|left| left - bytes) else {
        return;
    };
    let _ = LEFT.try_with(|cell| cell.set(Some(left)));
    if left < 0 {
        let stopped = STOPPED.with(Cell::get);
        // The caller and this thread each hold the flag, and this thread never ends.
        unsafe { (*stopped).store(true, Ordering::Release) };
        loop {
            thread::sleep(Duration::from_secs(3600));
        }
    }
}

fn size(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX / 2)
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(size(layout.size()));
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(size(layout.size()));
        System.alloc_zeroed(layout)
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        take(-size(layout.size()));
        System.dealloc(place, layout);
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        take(size(bytes) - size(layout.size()));
        System.realloc(place, layout, bytes)
    }
}

/// `work` on a thread of its own that holds at most `bytes`; it must not hold a lock while it allocates.
pub fn within<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let stopped = Arc::new(AtomicBool::new(false));
    let (send, receive) = channel();
    let flag = Arc::clone(&stopped);
    let run = move || {
        STOPPED.with(|cell| cell.set(Arc::as_ptr(&flag)));
        LEFT.with(|cell| cell.set(Some(size(bytes))));
        let found = work();
        LEFT.with(|cell| cell.set(None));
        let _ = send.send(found);
        drop(flag);
    };
    thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map_err(|error| format!("no thread: {error}"))?;
    loop {
        match receive.recv_timeout(LOOK) {
            Ok(found) => return found,
            Err(RecvTimeoutError::Disconnected) => return Err("its thread ended".to_owned()),
            Err(RecvTimeoutError::Timeout) if stopped.load(Ordering::Acquire) => {
                return Err(format!("it takes more than {bytes} bytes of memory"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
