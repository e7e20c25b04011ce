//! Chat templates (Jinja) as transformers renders them: `_cached_compile_jinja_template` in
//! transformers/utils/chat_template_utils.py sets trim_blocks, lstrip_blocks, loop controls, its own
//! `tojson`, `raise_exception` and `strftime_now`, and takes the tag `generation` as a plain block.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value as Json};

use crate::clock::strftime;

/// Instructions of minijinja's machine; a real template with a long conversation takes some ten thousand.
const FUEL: u64 = 2_000_000;
const MAX_TEMPLATE_BYTES: usize = 1 << 20;
const MAX_OUTPUT_BYTES: usize = 16 << 20;
const RECURSION: usize = 64;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(invalid(message))
}

/// How Python's json.dumps spaces what it writes.
struct Dump {
    indent: Option<String>,
    item: String,
    key: String,
    ascii: bool,
    sort: bool,
}

impl Dump {
    fn line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    }

    fn text(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.ascii && !c.is_ascii()) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }

    fn value(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        if depth > RECURSION || out.len() > MAX_OUTPUT_BYTES {
            return Err(invalid("tojson: the value is too deep or too long"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&value.to_string()),
            ValueKind::String => self.text(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq | ValueKind::Iterable => {
                self.parts(
                    "[]",
                    value.try_iter()?.collect(),
                    depth,
                    out,
                    |item, out| self.value(item, depth + 1, out),
                )?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort {
                    keys.sort();
                }
                self.parts("{}", keys, depth, out, |key, out| {
                    self.text(&key.to_string(), out);
                    out.push_str(&self.key);
                    self.value(&value.get_item(key)?, depth + 1, out)
                })?;
            }
            kind => return Err(invalid(format!("tojson: {kind} is not JSON"))),
        }
        Ok(())
    }

    fn parts(
        &self,
        brackets: &str,
        items: Vec<Value>,
        depth: usize,
        out: &mut String,
        mut write: impl FnMut(&Value, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push_str(&brackets[..1]);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(&self.item);
            }
            self.line(depth + 1, out);
            write(item, out)?;
        }
        if !items.is_empty() {
            self.line(depth, out);
        }
        out.push_str(&brackets[1..]);
        Ok(())
    }
}

fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    const MOST: usize = 64;
    let indent = match options.get::<Option<Value>>("indent")? {
        Some(text) if text.as_str().is_some() => Some(text.to_string()),
        Some(width) if !width.is_none() => {
            let width = usize::try_from(width).ok().filter(|&width| width <= MOST);
            Some(" ".repeat(width.ok_or_else(|| invalid("tojson: indent is not 0 to 64"))?))
        }
        _ => None,
    };
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(invalid("tojson: separators are not two texts")),
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let ascii = options
        .get::<Option<bool>>("ensure_ascii")?
        .unwrap_or(false);
    let sort = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let mut out = String::new();
    Dump {
        indent,
        item,
        key,
        ascii,
        sort,
    }
    .value(value, 0, &mut out)?;
    Ok(out)
}

/// The tag `generation` marks what an assistant wrote and adds no text: `if true` trims the same.
fn without_generation_tags(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(begin) = rest.find("{%") {
        let inside = &rest[begin + 2..];
        let Some(size) = inside.find("%}") else { break };
        let tag = &inside[..size];
        let name = tag.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        out.push_str(&rest[..begin + 2]);
        match name {
            "generation" => out.push_str(&tag.replace(name, "if true")),
            "endgeneration" => out.push_str(&tag.replace(name, "endif")),
            _ => out.push_str(tag),
        }
        out.push_str("%}");
        rest = &inside[size + 2..];
    }
    out.push_str(rest);
    out
}

/// Collects what a template writes, up to a bound.
struct Output(Vec<u8>);

impl std::io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(std::io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn environment(now: Option<i64>) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(RECURSION);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.add_function("raise_exception", raise_exception);
    env.add_function("strftime_now", move |format: String| {
        strftime(&format, now).map_err(|message| invalid(format!("strftime_now: {message}")))
    });
    env.add_filter("tojson", |value: Value, options: Kwargs| {
        tojson(&value, options)
    });
    env
}

/// One line: what went wrong, and in which line of the template.
fn describe(error: &Error) -> String {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (ErrorKind::OutOfFuel, _) => "it takes too many steps".to_owned(),
        (ErrorKind::WriteFailure, _) => format!("it writes more than {MAX_OUTPUT_BYTES} bytes"),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    let what = what.replace(['\n', '\r'], " ");
    error
        .line()
        .map_or(what.clone(), |line| format!("{what} (line {line})"))
}

/// Renders `request` {"template", "now"?, and what the template sees: "messages", "bos_token", ...}.
pub fn render(request: &[u8]) -> Result<String, String> {
    let parsed: Json = serde_json::from_slice(request).map_err(|error| error.to_string())?;
    let Json::Object(mut context) = parsed else {
        return Err("the request is not an object".to_owned());
    };
    let Some(Json::String(template)) = context.remove("template") else {
        return Err("the request has no template".to_owned());
    };
    if template.len() > MAX_TEMPLATE_BYTES {
        return Err(format!(
            "it has {} bytes, expected at most {MAX_TEMPLATE_BYTES}",
            template.len()
        ));
    }
    let now = context.remove("now").and_then(|now| now.as_i64());
    let text = render_text(&without_generation_tags(&template), context, now);
    text.map_err(|error| describe(&error))
}

fn render_text(
    template: &str,
    context: Map<String, Json>,
    now: Option<i64>,
) -> Result<String, Error> {
    let env = environment(now);
    let compiled = env.template_from_str(template)?;
    let mut output = Output(Vec::new());
    compiled.render_captured_to(&context, &mut output)?;
    String::from_utf8(output.0).map_err(|_| invalid("it writes text that is not UTF-8"))
}
