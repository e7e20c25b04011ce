//! SHA-256 by the crate `sha2`, which uses the processor's instructions for it where there are any.

use std::panic::{catch_unwind, AssertUnwindSafe};

use sha2::{Digest, Sha256};

use crate::slice;

#[no_mangle]
pub extern "C" fn lp_sha256_new() -> *mut Sha256 {
    Box::into_raw(Box::new(Sha256::new()))
}

/// # Safety
/// `hash` comes from `lp_sha256_new` and was not freed; `data` points to `size` readable bytes.
#[no_mangle]
pub unsafe extern "C" fn lp_sha256_update(hash: *mut Sha256, data: *const u8, size: usize) {
    // Neither allocates nor indexes by its input: nothing here can panic, but nothing may unwind either.
    let _ = catch_unwind(AssertUnwindSafe(|| (*hash).update(slice(data, size))));
}

/// # Safety
/// `hash` as above; `digest` points to 32 writable bytes.
#[no_mangle]
pub unsafe extern "C" fn lp_sha256_finish(hash: *mut Sha256, digest: *mut [u8; 32]) {
    *digest = (*hash).finalize_reset().into();
}

/// # Safety
/// `hash` is null or as above; it is not used again.
#[no_mangle]
pub unsafe extern "C" fn lp_sha256_free(hash: *mut Sha256) {
    if !hash.is_null() {
        drop(Box::from_raw(hash));
    }
}
