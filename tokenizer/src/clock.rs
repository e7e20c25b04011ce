//! Python's `datetime.strftime`, by the C library as Python does it.

use std::ffi::CString;

#[cfg(not(windows))]
use libc::strftime as c_strftime;
#[cfg(windows)]
extern "C" {
    #[link_name = "strftime"]
    fn c_strftime(
        text: *mut libc::c_char,
        size: usize,
        format: *const libc::c_char,
        parts: *const libc::tm,
    ) -> usize;
}

#[cfg(not(windows))]
fn local_time(time: libc::time_t) -> Option<libc::tm> {
    unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        (!libc::localtime_r(&time, &mut parts).is_null()).then_some(parts)
    }
}

#[cfg(windows)]
fn local_time(time: libc::time_t) -> Option<libc::tm> {
    unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        (libc::localtime_s(&mut parts, &time) == 0).then_some(parts)
    }
}

/// The first conversion of a format that Windows does not know: its strftime ends the process there.
pub fn unknown_on_windows(format: &str) -> Option<char> {
    let mut rest = format.chars();
    while let Some(sign) = rest.next() {
        if sign == '%' {
            match rest.next() {
                Some(kind) if "aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%".contains(kind) => {}
                other => return Some(other.unwrap_or('%')),
            }
        }
    }
    None
}

/// `datetime.now().strftime(format)` at `seconds` since 1970, or now.
pub fn strftime(format: &str, seconds: Option<i64>) -> Result<String, String> {
    if let (true, Some(kind)) = (cfg!(windows), unknown_on_windows(format)) {
        return Err(format!(
            "Windows has no %{kind}, which the format {format:?} asks for"
        ));
    }
    let format = CString::new(format).map_err(|_| "a NUL in the format")?;
    let mut text = vec![0u8; 1024];
    let written = unsafe {
        let time: libc::time_t = seconds.unwrap_or_else(|| libc::time(std::ptr::null_mut()));
        let Some(parts) = local_time(time) else {
            return Err("no local time".into());
        };
        c_strftime(
            text.as_mut_ptr().cast(),
            text.len(),
            format.as_ptr(),
            &parts,
        )
    };
    text.truncate(written);
    String::from_utf8(text).map_err(|_| "not UTF-8".into())
}
