#include "serve/http.h"

#include <gtest/gtest.h>

namespace lorapress {
namespace {

TEST(DecodePath, DecodesOnce) {
  EXPECT_EQ(decode_path("/"), "");
  EXPECT_EQ(decode_path("/index.html"), "index.html");
  EXPECT_EQ(decode_path("/a/b%20c/d.onnx_data_1"), "a/b c/d.onnx_data_1");
  EXPECT_EQ(decode_path("/folder/"), "folder/");
  EXPECT_EQ(decode_path("/%61%2Db"), "a-b");
  EXPECT_EQ(decode_path("/100%25"), "100%");
  EXPECT_EQ(decode_path("/a%252e%252e"), "a%2e%2e");
  EXPECT_EQ(decode_path("/a..b/c."), "a..b/c.");
  EXPECT_EQ(decode_path("/%C3%A9\\x"), "\xC3\xA9\\x");
}

TEST(DecodePath, RefusesWhatNamesNoFile) {
  for (const std::string_view raw : {"",           "a",
                                     "*",          "http://host/a",
                                     "//",         "//etc/passwd",
                                     "/a//b",      "/..",
                                     "/../a",      "/a/../b",
                                     "/a/..",      "/.",
                                     "/./a",       "/%2e%2e/a",
                                     "/%2E./a",    "/a/.%2e/b",
                                     "/..%2fa",    "/a%2Fb",
                                     "/%2fetc",    "/.git/config",
                                     "/a/.hidden", "/%2ehidden",
                                     "/a%00",      "/a%00.html",
                                     "/a%0d%0ab",  "/a%7f",
                                     "/a\nb",      "/%",
                                     "/a%2",       "/%zz",
                                     "/%+1",       "/%-1",
                                     "/% 1",       "/%0x"}) {
    EXPECT_EQ(decode_path(raw), std::nullopt) << raw;
  }
  EXPECT_EQ(decode_path(std::string_view("/a\0b", 4)), std::nullopt);
}

void expect_part(std::string_view header, uint64_t size, uint64_t first, uint64_t count) {
  const ByteRange range = parse_range(header, size);
  EXPECT_EQ(range.kind, ByteRange::Kind::kPart) << header;
  EXPECT_EQ(range.first, first) << header;
  EXPECT_EQ(range.count, count) << header;
}

TEST(ParseRange, OneRange) {
  expect_part("bytes=0-0", 10, 0, 1);
  expect_part("bytes=2-5", 10, 2, 4);
  expect_part("bytes=9-", 10, 9, 1);
  expect_part("bytes=0-", 10, 0, 10);
  expect_part("bytes=4-99", 10, 4, 6);
  expect_part("bytes=-3", 10, 7, 3);
  expect_part("bytes=-99", 10, 0, 10);
  expect_part("Bytes= 2-5 ", 10, 2, 4);
  expect_part("bytes=0-99999999999999999999999", 10, 0, 10);
  expect_part("bytes=-99999999999999999999999", 10, 0, 10);
}

TEST(ParseRange, BeyondTheEnd) {
  for (const std::string_view header : {"bytes=10-",
                                        "bytes=10-11",
                                        "bytes=-0",
                                        "bytes=18446744073709551615-",
                                        "bytes=99999999999999999999999-"}) {
    EXPECT_EQ(parse_range(header, 10).kind, ByteRange::Kind::kUnsatisfiable) << header;
  }
  for (const std::string_view header : {"bytes=0-", "bytes=0-0", "bytes=-1"}) {
    EXPECT_EQ(parse_range(header, 0).kind, ByteRange::Kind::kUnsatisfiable) << header;
  }
}

TEST(ParseRange, AnythingElseIsNone) {
  for (const std::string_view header : {"",
                                        "bytes",
                                        "bytes=",
                                        "bytes=-",
                                        "bytes=--1",
                                        "bytes=5-2",
                                        "bytes=a-b",
                                        "bytes=1-b",
                                        "bytes=+1-2",
                                        "bytes=1 - 2",
                                        "bytes=0x1-2",
                                        "bytes=1",
                                        "bytes=0-1,3-4",
                                        "bytes=0-1,",
                                        "lines=0-1"}) {
    const ByteRange range = parse_range(header, 10);
    EXPECT_EQ(range.kind, ByteRange::Kind::kWhole) << header;
    EXPECT_EQ(range.count, 10U) << header;
  }
}

TEST(NamesEtag, ListsAndWeakOnes) {
  EXPECT_TRUE(names_etag("\"a-1\"", "\"a-1\""));
  EXPECT_TRUE(names_etag("W/\"a-1\"", "\"a-1\""));
  EXPECT_TRUE(names_etag("\"x\", \"a-1\"", "\"a-1\""));
  EXPECT_TRUE(names_etag(" * ", "\"a-1\""));
  for (const std::string_view header :
       {"", ",", " , ,", "a-1", "\"a-2\"", "\"a-1", "\"x\"\"a-1\""}) {
    EXPECT_FALSE(names_etag(header, "\"a-1\"")) << header;
  }
}

TEST(ContentType, ByTheEnd) {
  EXPECT_EQ(content_type("a/b.wasm"), "application/wasm");
  EXPECT_EQ(content_type("a.MJS"), "text/javascript; charset=utf-8");
  EXPECT_EQ(content_type("model.onnx"), "application/octet-stream");
  EXPECT_EQ(content_type("model.onnx_data"), "application/octet-stream");
  EXPECT_EQ(content_type("README"), "application/octet-stream");
  EXPECT_EQ(content_type(""), "application/octet-stream");
}

TEST(LoopbackHost, IsWhatABrowserCallsThisMachine) {
  for (const std::string_view host : {"localhost",
                                      "LocalHost:8080",
                                      "127.0.0.1",
                                      "127.0.0.1:8080",
                                      "[::1]",
                                      "[::1]:8080",
                                      "demo.localhost:1"}) {
    EXPECT_TRUE(is_loopback_host(host)) << host;
  }
  for (const std::string_view host : {"",
                                      ":8080",
                                      "example.org",
                                      "localhost.example.org",
                                      "notlocalhost",
                                      "127.0.0.1.example.org",
                                      "[::2]",
                                      "10.0.0.1:8080"}) {
    EXPECT_FALSE(is_loopback_host(host)) << host;
  }
}

}  // namespace
}  // namespace lorapress
