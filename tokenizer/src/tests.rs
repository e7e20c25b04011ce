//! The C functions, called as C calls them.

use super::*;
use std::ffi::CStr;

/// Two words, one special token, byte-level pieces for U+00E9, truncation that must be dropped.
const JSON: &str = r#"{
  "version": "1.0", "normalizer": null, "post_processor": null,
  "truncation": {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
  "padding": null,
  "added_tokens": [{"id": 7, "content": "</s>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "\u0120": 2, "ab": 3, "\u00c3": 4, "\u00a9": 5, "\u0120ab": 6},
            "merges": [["a", "b"], ["\u0120", "ab"]]}
}"#;

fn tokenizer() -> *mut Tokenizer {
    let mut error = ptr::null_mut();
    let handle = unsafe { lp_tokenizer_from_bytes(JSON.as_ptr(), JSON.len(), &mut error) };
    assert!(error.is_null());
    assert!(!handle.is_null());
    handle
}

unsafe fn message(error: *mut c_char) -> String {
    assert!(!error.is_null());
    let text = CStr::from_ptr(error).to_string_lossy().into_owned();
    lp_tokenizer_free_error(error);
    text
}

unsafe fn encode(handle: *const Tokenizer, text: &[u8]) -> Result<Vec<u32>, String> {
    let (mut ids, mut count, mut error) = (ptr::null_mut(), 0, ptr::null_mut());
    let ok = lp_tokenizer_encode(
        handle,
        text.as_ptr(),
        text.len(),
        0,
        &mut ids,
        &mut count,
        &mut error,
    );
    if ok == 0 {
        return Err(message(error));
    }
    let copy = slice(ids, count).to_vec();
    lp_tokenizer_free_ids(ids, count);
    Ok(copy)
}

unsafe fn decode(handle: *const Tokenizer, ids: &[u32], skip: bool) -> Result<String, String> {
    let (mut text, mut size, mut error) = (ptr::null_mut(), 0, ptr::null_mut());
    let ok = lp_tokenizer_decode(
        handle,
        ids.as_ptr(),
        ids.len(),
        c_int::from(skip),
        &mut text,
        &mut size,
        &mut error,
    );
    if ok == 0 {
        return Err(message(error));
    }
    let copy = String::from_utf8(slice(text, size).to_vec()).unwrap();
    lp_tokenizer_free_text(text, size);
    Ok(copy)
}

#[test]
fn encodes_without_truncation_and_decodes() {
    let handle = tokenizer();
    unsafe {
        assert_eq!(encode(handle, b"ab ab").unwrap(), [3, 6]);
        assert!(encode(handle, b"").unwrap().is_empty());
        assert_eq!(decode(handle, &[3, 6], true).unwrap(), "ab ab");
        assert_eq!(decode(handle, &[4, 5], true).unwrap(), "\u{e9}");
        assert_eq!(decode(handle, &[4], true).unwrap(), "\u{fffd}");
        lp_tokenizer_free(handle);
    }
}

#[test]
fn special_and_unknown_ids() {
    let handle = tokenizer();
    unsafe {
        assert_eq!(decode(handle, &[3, 7], true).unwrap(), "ab");
        assert_eq!(decode(handle, &[3, 7], false).unwrap(), "ab</s>");
        assert_eq!(decode(handle, &[3, 8, u32::MAX], true).unwrap(), "ab");
        assert_eq!(lp_tokenizer_token_to_id(handle, b"</s>".as_ptr(), 4), 7);
        assert_eq!(lp_tokenizer_token_to_id(handle, b"zz".as_ptr(), 2), -1);
        assert_eq!(lp_tokenizer_token_to_id(handle, b"\xff".as_ptr(), 1), -1);
        assert_eq!(lp_tokenizer_vocab_size(handle), 8);
        lp_tokenizer_free(handle);
    }
}

#[test]
fn bad_input_is_an_error() {
    for json in ["", "{}", "[", "{\"model\": 3}", &"[".repeat(100_000)] {
        let mut error = ptr::null_mut();
        let handle = unsafe { lp_tokenizer_from_bytes(json.as_ptr(), json.len(), &mut error) };
        assert!(handle.is_null());
        assert!(!unsafe { message(error) }.is_empty());
    }
    let handle = tokenizer();
    unsafe {
        assert_eq!(
            encode(handle, b"a\xff").unwrap_err(),
            "text is not UTF-8 at byte 1"
        );
        lp_tokenizer_free(handle);
    }
}

#[test]
fn a_panic_is_an_error() {
    let result: Result<(), String> = guard(|| panic!("on purpose"));
    assert_eq!(
        result.unwrap_err(),
        "the tokenizer library panicked: on purpose"
    );
}

unsafe fn render(request: &str) -> Result<String, String> {
    let (mut text, mut size, mut error) = (ptr::null_mut(), 0, ptr::null_mut());
    if lp_chat_render(
        request.as_ptr(),
        request.len(),
        &mut text,
        &mut size,
        &mut error,
    ) == 0
    {
        return Err(message(error));
    }
    let copy = String::from_utf8(slice(text, size).to_vec()).unwrap();
    lp_tokenizer_free_text(text, size);
    Ok(copy)
}

#[test]
fn chat_templates_render_or_say_why_not() {
    let request = r#"{"template": "{% if x %}\n{{ x | tojson }}\n{% endif %}", "x": {"b": ["\u00e9"], "a": 1}}"#;
    unsafe {
        assert_eq!(
            render(request).unwrap(),
            "{\"b\": [\"\u{e9}\"], \"a\": 1}\n"
        );
        let no = r#"{"template": "{{ raise_exception('no') }}"}"#;
        assert_eq!(render(no).unwrap_err(), "no (line 1)");
        for bad in [
            "",
            "[]",
            "{}",
            "{\"template\": 1}",
            "{\"template\": \"{% x %}\"}",
        ] {
            assert!(!render(bad).unwrap_err().is_empty());
        }
    }
}

#[test]
fn a_template_that_doubles_its_text_is_an_error() {
    let doubling = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
    let request = format!("{{\"template\": \"{doubling}\"}}");
    unsafe {
        let told = render(&request).unwrap_err();
        assert_eq!(told, "it takes more than 268435456 bytes of memory");
        assert_eq!(render("{\"template\": \"after\"}").unwrap(), "after");
    }
}

#[test]
fn times_are_written_by_the_c_library_and_what_windows_would_not_is_named() {
    let noon = Some(1_721_995_200); // 2024-07-26 12:00 UTC; no time zone makes another year of it
    assert_eq!(clock::strftime("%Y%%", noon).as_deref(), Ok("2024%"));
    assert!(clock::strftime("a\0b", noon).is_err());
    assert_eq!(clock::unknown_on_windows("%d %b %Y, %H:%M:%S %z"), None);
    assert_eq!(clock::unknown_on_windows("%-d %b"), Some('-'));
    assert_eq!(clock::unknown_on_windows("100%"), Some('%'));
}
