//! SHA-256 and SHA-1 by the crates `sha2` and `sha1`, which use the processor's instructions for them where there are any.

use std::panic::{catch_unwind, AssertUnwindSafe};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::slice;

pub enum Hash {
    Sha256(Sha256),
    Sha1(Sha1),
}

#[no_mangle]
pub extern "C" fn lp_sha256_new() -> *mut Hash {
    Box::into_raw(Box::new(Hash::Sha256(Sha256::new())))
}

#[no_mangle]
pub extern "C" fn lp_sha1_new() -> *mut Hash {
    Box::into_raw(Box::new(Hash::Sha1(Sha1::new())))
}

/// # Safety
/// `hash` comes from `lp_sha256_new` or `lp_sha1_new` and was not freed; `data` points to `size` readable bytes.
#[no_mangle]
pub unsafe extern "C" fn lp_hash_update(hash: *mut Hash, data: *const u8, size: usize) {
    // Neither allocates nor indexes by its input: nothing here can panic, but nothing may unwind either.
    let _ = catch_unwind(AssertUnwindSafe(|| match &mut *hash {
        Hash::Sha256(state) => state.update(slice(data, size)),
        Hash::Sha1(state) => state.update(slice(data, size)),
    }));
}

/// # Safety
/// `hash` as above; `digest` points to 32 writable bytes.
#[no_mangle]
pub unsafe extern "C" fn lp_hash_finish(hash: *mut Hash, digest: *mut u8) -> usize {
    let out = std::slice::from_raw_parts_mut(digest, 32);
    match &mut *hash {
        Hash::Sha256(state) => {
            out.copy_from_slice(&state.finalize_reset());
            32
        }
        Hash::Sha1(state) => {
            out[..20].copy_from_slice(&state.finalize_reset());
            20
        }
    }
}

/// # Safety
/// `hash` is null or as above; it is not used again.
#[no_mangle]
pub unsafe extern "C" fn lp_hash_free(hash: *mut Hash) {
    if !hash.is_null() {
        drop(Box::from_raw(hash));
    }
}
