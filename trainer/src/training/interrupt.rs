//! Ctrl+C, SIGTERM and SIGHUP: asked for between updates, so that a step is finished and saved first.

use std::sync::atomic::{AtomicI32, Ordering};

/// The first signal; 0 for none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Starts listening. A second signal ends the program at once. What the parent chose to ignore (`nohup`, a job in the
/// background) stays ignored.
#[cfg(unix)]
pub(crate) fn listen() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler keeps to what a signal handler may do; restoring SIG_IGN is always sound.
        unsafe {
            if libc::signal(signal, on_signal as *const () as libc::sighandler_t) == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_IGN);
            }
        }
    }
}

/// Without signals there is nothing to listen to: the last checkpoint is what remains.
#[cfg(not(unix))]
pub(crate) fn listen() {}

#[cfg(unix)]
extern "C" fn on_signal(signal: libc::c_int) {
    const MESSAGE: &[u8] = b"\nstopping after this update; once more to stop at once\n";
    // SAFETY: an atomic, write(2) and _exit(2) are all a signal handler may touch, and all this one does.
    unsafe {
        if SIGNAL.swap(signal, Ordering::SeqCst) != 0 {
            libc::_exit(128 + signal);
        }
        libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
    }
}

/// The signal that asked for a stop, if one did.
pub(crate) fn requested() -> Option<i32> {
    Some(SIGNAL.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
}
