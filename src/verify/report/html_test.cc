#include "verify/report/html.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

#include "lorapress/verify.h"

namespace lorapress {
namespace {

using html::escaped;
using html::marked_difference;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Escaped, LeavesNoMarkup) {
  EXPECT_EQ(escaped("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
  EXPECT_EQ(escaped("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80"), "gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80");
}

TEST(Escaped, ReplacesWhatIsNoText) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(escaped(std::string("a\0b", 3)), "a" + bad + "b");
  EXPECT_EQ(escaped("\x1b[31m"), bad + "[31m");
  EXPECT_EQ(escaped("\xC3"), bad);                      // cut off
  EXPECT_EQ(escaped("\xC0\xBC"), bad + bad);            // an overlong '<'
  EXPECT_EQ(escaped("\xED\xA0\x80"), bad + bad + bad);  // a surrogate
  EXPECT_EQ(escaped("\xF4\x90\x80\x80"), bad + bad + bad + bad);
  EXPECT_EQ(escaped("\xE2\x80\xAE"
                    "abc"),
            bad + "abc");                   // U+202E, right to left
  EXPECT_EQ(escaped("\xEF\xBF\xBF"), bad);  // U+FFFF
}

TEST(Difference, MarksWords) {
  EXPECT_EQ(marked_difference("a red cup", "a red cup"), "a red cup");
  EXPECT_EQ(marked_difference("a red cup", "a blue cup"), "a <del>red</del> <mark>blue</mark> cup");
  EXPECT_EQ(marked_difference("", "x"), "<mark>x</mark>");
  EXPECT_EQ(marked_difference("x", ""), "<del>x</del>");
  EXPECT_EQ(marked_difference("a", "<b>"), "<del>a</del> <mark>&lt;b&gt;</mark>");
}

TEST(Numbers, AreShort) {
  EXPECT_EQ(html::number(0.0), "0");
  EXPECT_EQ(html::number(1.234e-5), "1.2e-5");
  EXPECT_EQ(html::number(1.234e-12), "1.2e-12");
  EXPECT_EQ(html::number(0.1234), "0.123");
  EXPECT_EQ(html::number(-2.0), "-2");
  EXPECT_EQ(html::number(std::numeric_limits<double>::infinity()), "-");
  EXPECT_EQ(html::percent(3, 3), "100 %");
  EXPECT_EQ(html::percent(99999, 100000), "99.99 %");
  EXPECT_EQ(html::percent(0, 0), "100 %");
}

// Tags open and close in order; attributes are quoted.
void expect_balanced(const std::string& page) {
  std::vector<std::string> open;
  const std::vector<std::string> empty{"meta", "img", "br"};
  for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    const size_t end = page.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = page.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '!') {
      continue;
    }
    if (tag[0] == '/') {
      ASSERT_FALSE(open.empty()) << tag;
      ASSERT_EQ("/" + open.back(), tag);
      open.pop_back();
    } else if (tag.back() != '/' && std::ranges::find(empty, name) == empty.end()) {
      open.push_back(name);
    }
  }
  EXPECT_TRUE(open.empty()) << open.back();
}

VerifyReport hostile_report() {
  const std::string evil = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>\xFF";
  VerifyReport report;
  report.faults = {evil};
  report.notes = {evil};
  report.images = {{evil, "", {1}, evil, 0.0, "data:image/png;base64,AAAA"},
                   {evil, evil, {}, "", 0.0, ""}};
  DtypeParity dtype;
  dtype.dtype = evil;
  dtype.name = evil;
  dtype.faults = {evil};
  ImageParity parity;
  parity.text = evil + " more";
  parity.kl = {1e-3, std::numeric_limits<double>::infinity(), 0.0};
  dtype.images = {parity};
  dtype.layers = {{true, 0, 1e-3}, {false, 1, std::numeric_limits<double>::quiet_NaN()}};
  report.dtypes = {dtype, dtype};
  return report;
}

TEST(Page, IsInertWhateverItIsTold) {
  const std::string page = verify_page(hostile_report(), "</title><script>alert(3)</script>");
  EXPECT_FALSE(has(page, "<script"));
  EXPECT_FALSE(has(page, "<img src=x"));
  EXPECT_FALSE(has(page, "http:"));
  EXPECT_FALSE(has(page, "https:"));
  EXPECT_FALSE(has(page, "nan"));
  EXPECT_TRUE(has(page, "default-src 'none'"));
  EXPECT_TRUE(has(page, "<mark>more</mark>"));
  expect_balanced(page);
}

TEST(Page, OfNothingIsStillAPage) {
  expect_balanced(verify_page({}, ""));
}

TEST(Page, ShowsImagesThatDifferFirst) {
  VerifyReport report;
  DtypeParity dtype;
  for (size_t i = 0; i < 150; ++i) {
    report.images.push_back({"image-" + std::to_string(i) + "!", "", {}, "a", 0.0, ""});
    ImageParity parity;
    parity.image = i;
    parity.caption_equal = i != 149;
    dtype.images.push_back(parity);
  }
  report.dtypes = {dtype};
  const std::string page = verify_page(report, "many");
  EXPECT_TRUE(has(page, "image-149!"));
  EXPECT_TRUE(has(page, "image-98!"));
  EXPECT_FALSE(has(page, "image-99!"));
  EXPECT_TRUE(has(page, "100 of 150"));
  EXPECT_LT(page.find("image-149!"), page.find("image-0!"));
}

}  // namespace
}  // namespace lorapress
