#include "score/pattern.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/fail.h"

namespace lorapress {
namespace {

struct LetterRange {
  char32_t first;
  char32_t last;
};
// Latin, Greek and Cyrillic as the tokenizer has them; of other scripts whole blocks.
constexpr std::array kLetterRanges = std::to_array<LetterRange>(
    {{0xAA, 0xAA},     {0xAD, 0xAD},     {0xB5, 0xB5},     {0xBA, 0xBA},     {0xC0, 0xD6},
     {0xD8, 0xF6},     {0xF8, 0x37D},    {0x384, 0x386},   {0x388, 0x38A},   {0x38C, 0x38C},
     {0x38E, 0x3A1},   {0x3A3, 0x481},   {0x483, 0x487},   {0x48A, 0x527},   {0x531, 0x556},
     {0x559, 0x55F},   {0x561, 0x587},   {0x591, 0x5BD},   {0x5BF, 0x5BF},   {0x5C1, 0x5C2},
     {0x5D0, 0x5EA},   {0x5F0, 0x5F2},   {0x615, 0x61A},   {0x620, 0x65E},   {0x66E, 0x6D3},
     {0x6D5, 0x6FF},   {0x70F, 0x7B1},   {0x900, 0x939},   {0x93C, 0x94E},   {0x950, 0x963},
     {0x966, 0x1DBF},  {0x1E00, 0x1F15}, {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D},
     {0x1F50, 0x1F57}, {0x1F59, 0x1F59}, {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D}, {0x1F5F, 0x1F7D},
     {0x1F80, 0x1FB4}, {0x1FB6, 0x1FBC}, {0x1FBE, 0x1FBE}, {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC},
     {0x1FD0, 0x1FD3}, {0x1FD6, 0x1FDB}, {0x1FE0, 0x1FEC}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC},
     {0x2071, 0x2071}, {0x207F, 0x207F}, {0x2090, 0x209C}, {0x2102, 0x2102}, {0x2107, 0x2107},
     {0x210A, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211D}, {0x2124, 0x2124}, {0x2126, 0x2126},
     {0x2128, 0x2128}, {0x212A, 0x212D}, {0x212F, 0x2139}, {0x213C, 0x213F}, {0x2145, 0x2149},
     {0x214E, 0x214E}, {0x2183, 0x2184}, {0x2C00, 0x2C2E}, {0x2C30, 0x2C5E}, {0x2C60, 0x2CE4},
     {0x2D00, 0x2DDE}, {0x3005, 0x3006}, {0x3031, 0x3035}, {0x3041, 0x3096}, {0x309D, 0x309F},
     {0x30A1, 0x30FA}, {0x30FC, 0xD7FF}, {0xF900, 0xFD3D}, {0xFE70, 0xFEFC}, {0xFF21, 0xFF3A},
     {0xFF41, 0xFF5A}, {0xFF66, 0xFFDC}});

bool is_ascii_letter(char32_t code) {
  return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
}

// Accents that follow their letter, and the soft hyphen.
bool is_mark(char32_t code) {
  return code == 0xAD || (code >= 0x300 && code <= 0x36F) || (code >= 0x483 && code <= 0x487);
}

bool is_capital(char32_t code) {
  return (code >= 'A' && code <= 'Z') || (code >= 0xC0 && code <= 0xDE && code != 0xD7) ||
         (code >= 0x391 && code <= 0x3A9) || (code >= 0x410 && code <= 0x42F);
}

bool is_quote(char32_t code) {
  return code == '\'' || code == 0x92 || code == 0x2019;
}

bool is_left_quote(char32_t code) {
  return code == '`' || code == 0x91 || code == 0x2018 || code == 0x201B;
}

bool is_blank(char32_t code) {
  return code == ' ' || code == '\t' || code == 0xA0 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x3000;
}

}  // namespace

bool is_caption_letter(char32_t code) {
  if (code < 0x80) {
    return is_ascii_letter(code);
  }
  const auto after = std::ranges::upper_bound(kLetterRanges, code, {}, &LetterRange::first);
  return after != kLetterRanges.begin() && code <= std::prev(after)->last;
}

bool Pattern::Class::has(char32_t code) const {
  const bool in = (code < 128 && ascii.test(code)) || (letters && is_caption_letter(code)) ||
                  (plain_letters && is_caption_letter(code) && !is_mark(code)) ||
                  (capitals && is_capital(code)) || (blanks && is_blank(code)) ||
                  (quotes && is_quote(code)) || (left_quotes && is_left_quote(code));
  return in != negated;
}

// Recursive descent; each part appends its states and leaves the place that goes on open.
class PatternParser {
 public:
  PatternParser(Pattern& pattern, std::string_view source) : pattern_(pattern), source_(source) {}

  void parse() {
    const Part part = alternatives();
    if (at_ != source_.size()) {
      wrong();
    }
    pattern_.accept_ = state({});
    connect(part.ends, pattern_.accept_);
    pattern_.start_ = part.start;
  }

 private:
  using End = std::pair<int, bool>;  // a state, and whether its second way on is open
  struct Part {
    int start = -1;
    std::vector<End> ends;
  };

  [[noreturn]] void wrong() const {
    fail(ErrorCode::kRuntime, "pattern {}: wrong at {}", source_, at_);
  }
  [[nodiscard]] bool sees(char sign) const { return at_ < source_.size() && source_[at_] == sign; }
  int state(Pattern::State made) {
    pattern_.states_.push_back(made);
    return static_cast<int>(pattern_.states_.size()) - 1;
  }
  void connect(const std::vector<End>& ends, int to) {
    for (const auto& [from, second] : ends) {
      auto& place = pattern_.states_[static_cast<size_t>(from)];
      (second ? place.other : place.next) = to;
    }
  }

  Part alternatives() {
    Part part = sequence();
    while (sees('|')) {
      ++at_;
      Part more = sequence();
      part.start = state({-1, part.start, more.start});
      part.ends.insert(part.ends.end(), more.ends.begin(), more.ends.end());
    }
    return part;
  }

  Part sequence() {
    const int start = state({});  // a fork with one way: an empty sequence is a part, too
    Part part{start, {{start, false}}};
    while (at_ < source_.size() && !sees('|') && !sees(')')) {
      const Part next = repeated();
      connect(part.ends, next.start);
      part.ends = next.ends;
    }
    return part;
  }

  Part repeated() {
    const size_t from = at_;
    Part part = one();
    if (sees('{')) {
      return counted(from, std::move(part));
    }
    while (sees('*') || sees('+') || sees('?')) {
      const char sign = source_[at_++];
      const int fork = state({-1, part.start, -1});
      if (sign != '?') {
        connect(part.ends, fork);
      }
      std::vector<End> ends{{fork, true}};
      if (sign == '?') {
        ends.insert(ends.end(), part.ends.begin(), part.ends.end());
      }
      part = {sign == '+' ? part.start : fork, std::move(ends)};
    }
    return part;
  }

  // {n} or {n,m}: the part is parsed again for each of its copies.
  Part counted(size_t from, Part first) {
    const size_t behind = at_;
    const size_t close = source_.find('}', at_);
    const std::string_view inside = source_.substr(at_ + 1, close - at_ - 1);
    const int least = inside[0] - '0';
    const int most = inside.back() - '0';
    std::vector<End> ends;
    Part part = std::move(first);
    for (int copy = 1; copy <= most; ++copy) {
      Part next = part;
      if (copy > 1) {
        at_ = from;
        next = one();
      }
      if (copy > least) {
        const int fork = state({-1, next.start, -1});
        ends.emplace_back(fork, true);
        next.start = fork;
      }
      if (copy > 1) {
        connect(part.ends, next.start);
        part.ends = next.ends;
      } else {
        part = next;
      }
      if (at_ != behind) {
        wrong();
      }
    }
    at_ = close + 1;
    part.ends.insert(part.ends.end(), ends.begin(), ends.end());
    return part;
  }

  Part one() {
    if (sees('(')) {
      ++at_;
      Part part = alternatives();
      if (!sees(')')) {
        wrong();
      }
      ++at_;
      return part;
    }
    pattern_.classes_.emplace_back();
    if (sees('[')) {
      ++at_;
      set();
    } else if (sees('.')) {
      ++at_;
      pattern_.classes_.back().negated = true;
    } else {
      letter(true);
    }
    const int taken = state({static_cast<int>(pattern_.classes_.size()) - 1, -1, -1});
    return {taken, {{taken, false}}};
  }

  // One character of a class or of the text between; returns it, or -1 for a kind of characters.
  int letter(bool both_cases) {
    if (at_ >= source_.size()) {
      wrong();
    }
    Pattern::Class& made = pattern_.classes_.back();
    char sign = source_[at_++];
    if (sign == '\\') {
      sign = source_.at(at_++);
      switch (sign) {
        case 'l':
          made.letters = true;
          return -1;
        case 'a':
          made.plain_letters = true;
          return -1;
        case 'u':
          made.capitals = true;
          return -1;
        case 's':
          made.blanks = true;
          return -1;
        case 'q':
          made.quotes = true;
          return -1;
        case 'k':
          made.quotes = made.left_quotes = true;
          return -1;
        case 'n':
          sign = '\n';
          break;
        case 'd':
          for (char digit = '0'; digit <= '9'; ++digit) {
            made.ascii.set(static_cast<size_t>(digit));
          }
          return -1;
        default:
          break;
      }
    }
    const auto code = static_cast<unsigned char>(sign);
    made.ascii.set(code);
    if (both_cases && is_ascii_letter(code)) {
      made.ascii.set(code ^ 0x20U);
    }
    return code;
  }

  void set() {
    if (sees('^')) {
      ++at_;
      pattern_.classes_.back().negated = true;
    }
    while (!sees(']')) {
      const int first = letter(false);
      if (first >= 0 && sees('-') && at_ + 1 < source_.size() && source_[at_ + 1] != ']') {
        ++at_;
        const int last = letter(false);
        for (int code = first; code <= last; ++code) {
          pattern_.classes_.back().ascii.set(static_cast<size_t>(code));
        }
      }
    }
    ++at_;
  }

  Pattern& pattern_;
  std::string_view source_;
  size_t at_ = 0;
};

Pattern::Pattern(std::string_view source) {
  PatternParser(*this, source).parse();
}

std::vector<size_t> Pattern::ends(std::u32string_view text, size_t begin) const {
  std::vector<int> now;
  std::vector<int> next;
  std::vector<int> todo;
  std::vector<size_t> seen(states_.size(), std::u32string_view::npos);
  const auto enter = [&](std::vector<int>& set, int first, size_t mark) {
    todo.assign(1, first);
    while (!todo.empty()) {
      const int state = todo.back();
      todo.pop_back();
      if (state < 0 || seen[static_cast<size_t>(state)] == mark) {
        continue;
      }
      seen[static_cast<size_t>(state)] = mark;
      const State& place = states_[static_cast<size_t>(state)];
      if (place.chars >= 0 || state == accept_) {
        set.push_back(state);
      } else {
        todo.push_back(place.other);
        todo.push_back(place.next);
      }
    }
  };
  std::vector<size_t> found;
  enter(now, start_, begin);
  for (size_t at = begin; at < text.size() && !now.empty(); ++at) {
    next.clear();
    for (const int state : now) {
      const State& place = states_[static_cast<size_t>(state)];
      if (place.chars >= 0 && classes_[static_cast<size_t>(place.chars)].has(text[at])) {
        enter(next, place.next, at + 1);
      }
    }
    now.swap(next);
    if (std::ranges::find(now, accept_) != now.end()) {
      found.push_back(at + 1);
    }
  }
  return found;
}

}  // namespace lorapress
