//! Hugging Face `tokenizers`, chat templates and hashes, behind the C ABI of `lorapress_tokenizer.h`.
//!
//! Every exported function runs inside `guard`, so neither a panic nor its message leaves it.

use std::cell::Cell;
use std::ffi::{c_char, c_int, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::Once;

use tokenizers::Tokenizer;

mod bounded;
mod chat;
mod clock;
mod hash;
#[cfg(test)]
mod tests;

/// What rendering a chat template may hold.
const CHAT_BYTES: usize = 256 << 20;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}
static SILENCE: Once = Once::new();

/// Runs `body`; a panic becomes an error that carries its message, and is not printed.
fn guard<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    SILENCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.with(Cell::get) {
                previous(info);
            }
        }));
    });
    let outer = GUARDED.with(|flag| flag.replace(true));
    let result = catch_unwind(AssertUnwindSafe(body));
    GUARDED.with(|flag| flag.set(outer));
    result.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(format!("the tokenizer library panicked: {text}"))
    })
}

/// The lock file that the crate was built with.
#[no_mangle]
pub extern "C" fn lp_tokenizer_lock() -> *const c_char {
    concat!(include_str!("../Cargo.lock"), "\0").as_ptr().cast()
}

/// # Safety
/// `error` is null or points to writable memory for one pointer.
unsafe fn report(error: *mut *mut c_char, message: String) {
    if !error.is_null() {
        let text = CString::new(message.replace('\0', "\\0")).unwrap_or_default();
        *error = text.into_raw();
    }
}

/// # Safety
/// `data` is null, or points to `size` readable values that outlive `'a`.
unsafe fn slice<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if data.is_null() || size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes)
        .map_err(|error| format!("text is not UTF-8 at byte {}", error.valid_up_to()))
}

/// Hands a boxed slice over to C; `take_back` is its end.
fn give<T>(values: Vec<T>) -> (*mut T, usize) {
    let values = values.into_boxed_slice();
    let size = values.len();
    (Box::into_raw(values).cast::<T>(), size)
}

/// # Safety
/// `data` and `size` came from `give` and were not taken back before.
unsafe fn take_back<T>(data: *mut T, size: usize) {
    if !data.is_null() {
        drop(Box::from_raw(ptr::slice_from_raw_parts_mut(data, size)));
    }
}

fn load(bytes: &[u8]) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
    tokenizer
        .with_truncation(None)
        .map_err(|error| error.to_string())?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// # Safety
/// See `lorapress_tokenizer.h`; so for all functions below.
#[no_mangle]
pub unsafe extern "C" fn lp_tokenizer_from_bytes(
    data: *const u8,
    size: usize,
    error: *mut *mut c_char,
) -> *mut Tokenizer {
    match guard(|| load(slice(data, size))) {
        Ok(tokenizer) => Box::into_raw(Box::new(tokenizer)),
        Err(message) => {
            report(error, message);
            ptr::null_mut()
        }
    }
}

/// # Safety
/// `tokenizer` is null or came from `lp_tokenizer_from_bytes` and was not freed before.
#[no_mangle]
pub unsafe extern "C" fn lp_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        let _ = guard(|| {
            drop(Box::from_raw(tokenizer));
            Ok(())
        });
    }
}

/// # Safety
/// All pointers are valid for their sizes; `ids` and `count` are writable.
#[no_mangle]
pub unsafe extern "C" fn lp_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text: *const u8,
    size: usize,
    add_special_tokens: c_int,
    ids: *mut *mut u32,
    count: *mut usize,
    error: *mut *mut c_char,
) -> c_int {
    let result = guard(|| {
        let text = utf8(slice(text, size))?;
        let encoding = (*tokenizer)
            .encode_fast(text, add_special_tokens != 0)
            .map_err(|error| error.to_string())?;
        Ok(give(encoding.get_ids().to_vec()))
    });
    match result {
        Ok((data, length)) => {
            *ids = data;
            *count = length;
            1
        }
        Err(message) => {
            report(error, message);
            0
        }
    }
}

/// # Safety
/// All pointers are valid for their sizes; `text` and `size` are writable.
#[no_mangle]
pub unsafe extern "C" fn lp_tokenizer_decode(
    tokenizer: *const Tokenizer,
    ids: *const u32,
    count: usize,
    skip_special_tokens: c_int,
    text: *mut *mut u8,
    size: *mut usize,
    error: *mut *mut c_char,
) -> c_int {
    let result = guard(|| {
        (*tokenizer)
            .decode(slice(ids, count), skip_special_tokens != 0)
            .map(|text| give(text.into_bytes()))
            .map_err(|error| error.to_string())
    });
    match result {
        Ok((data, length)) => {
            *text = data;
            *size = length;
            1
        }
        Err(message) => {
            report(error, message);
            0
        }
    }
}

/// # Safety
/// `request` points to `request_size` bytes; `text` and `size` are writable.
#[no_mangle]
pub unsafe extern "C" fn lp_chat_render(
    request: *const u8,
    request_size: usize,
    text: *mut *mut u8,
    size: *mut usize,
    error: *mut *mut c_char,
) -> c_int {
    let request = slice(request, request_size).to_vec();
    let result = guard(|| bounded::within(CHAT_BYTES, move || guard(|| chat::render(&request))));
    match result.map(|text| give(text.into_bytes())) {
        Ok((data, length)) => {
            *text = data;
            *size = length;
            1
        }
        Err(message) => {
            report(error, message);
            0
        }
    }
}

/// # Safety
/// `tokenizer` is valid; `token` points to `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn lp_tokenizer_token_to_id(
    tokenizer: *const Tokenizer,
    token: *const u8,
    size: usize,
) -> i64 {
    let id = guard(|| Ok((*tokenizer).token_to_id(utf8(slice(token, size))?)));
    id.ok().flatten().map_or(-1, i64::from)
}

/// # Safety
/// `tokenizer` is valid.
#[no_mangle]
pub unsafe extern "C" fn lp_tokenizer_vocab_size(tokenizer: *const Tokenizer) -> usize {
    guard(|| Ok((*tokenizer).get_vocab_size(true))).unwrap_or(0)
}

/// # Safety
/// `ids` and `count` came from `lp_tokenizer_encode`.
#[no_mangle]
pub unsafe extern "C" fn lp_tokenizer_free_ids(ids: *mut u32, count: usize) {
    take_back(ids, count);
}

/// # Safety
/// `text` and `size` came from `lp_tokenizer_decode` or `lp_chat_render`.
#[no_mangle]
pub unsafe extern "C" fn lp_tokenizer_free_text(text: *mut u8, size: usize) {
    take_back(text, size);
}

/// # Safety
/// `error` is null or was set by one of these functions.
#[no_mangle]
pub unsafe extern "C" fn lp_tokenizer_free_error(error: *mut c_char) {
    if !error.is_null() {
        drop(CString::from_raw(error));
    }
}
