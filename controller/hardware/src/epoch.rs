//! Who calls: the epoch of the leader, a number that rises with every change of leadership.
//!
//! Of several controllers one leads, but an old leader may not know yet that it does not any more: it was paused, or its
//! calls were slow. So each call carries the epoch of its caller, and hardware that has seen a higher one refuses it. The
//! epoch travels beside the call, not in it: whoever serves calls of others sets it for the time of one call.
//!
//! Who calls from within the process that owns the hardware has no epoch and is never refused: nobody else can.

use tokio::task_local;

task_local! {
    static CALLER: u64;
}

/// Makes a call for a leader of that epoch; 0 for a caller that no election has made leader.
pub async fn within<T>(epoch: u64, call: impl Future<Output = T>) -> T {
    CALLER.scope(epoch, call).await
}

/// The epoch of whoever makes the call that runs now; none within the process.
pub fn current() -> Option<u64> {
    CALLER.try_with(|epoch| *epoch).ok()
}
